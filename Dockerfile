# Airflow with this project in it. Every component runs this one image: the page, the timetable and the operators must
# be importable in all of them.
FROM apache/airflow:3.3.2

# A named volume takes the owner and the mode of the folder that it covers. Storage holds copies of documents.
USER root
RUN install --directory --owner=airflow --group=root --mode=0700 /opt/airflow/storage /opt/airflow/auth
USER airflow

# The extras are here so that they are resolved together with our constraints.
COPY --chown=airflow:root pyproject.toml constraints.txt README.md /opt/firestore-migrations/
COPY --chown=airflow:root plugins /opt/firestore-migrations/plugins
RUN pip install --no-cache-dir --constraint /opt/firestore-migrations/constraints.txt \
    /opt/firestore-migrations "apache-airflow[celery,postgres]==${AIRFLOW_VERSION}"

# For the service `seed`; `python -m demo.recoup` finds it in the working directory.
COPY --chown=airflow:root demo /opt/airflow/demo

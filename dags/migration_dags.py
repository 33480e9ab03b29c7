"""One Airflow DAG for every file of the migrations folder."""

from firestore_migrations.dag_factory import make_dags

globals().update(make_dags())

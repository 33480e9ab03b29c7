"""The Airflow DAG that rehearses every pending migration on a copy of the data."""

from firestore_migrations.rehearsal import make_rehearsal_dag

dag = make_rehearsal_dag()

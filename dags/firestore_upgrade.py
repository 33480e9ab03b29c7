"""The Airflow DAG that runs every pending migration in order."""

from firestore_migrations.upgrade import make_upgrade_dag

dag = make_upgrade_dag()

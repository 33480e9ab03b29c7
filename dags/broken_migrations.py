"""Airflow shows this file as an import error when a file of the migrations folder cannot be used.

It makes no DAG. It is a file of its own because Airflow hides every DAG of a file that has an import error, and one
broken migration must not hide the others.
"""

from firestore_migrations.dag_factory import refuse_broken_files

refuse_broken_files()

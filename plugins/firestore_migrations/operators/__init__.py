"""Airflow's operator of a migration."""

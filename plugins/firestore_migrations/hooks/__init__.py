"""Airflow's connections of type `firestore`."""

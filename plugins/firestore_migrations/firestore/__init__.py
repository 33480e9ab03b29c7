"""The wire: what is said to Firestore, and the shape of what it answers. Knows nothing of migrations or Airflow."""

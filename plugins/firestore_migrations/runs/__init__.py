"""The life of a run, one file a word. Knows nothing of Airflow: storage and progress are passed in."""

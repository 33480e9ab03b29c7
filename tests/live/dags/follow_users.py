"""A DAG of somebody else's that follows a collection: it runs whenever a migration has written to it."""

from airflow.sdk import DAG, Asset, task

USERS = Asset("firestore://live/production/users")

with DAG("follow_users", schedule=[USERS], is_paused_upon_creation=False):

    @task
    def take_note(triggering_asset_events=None) -> dict:
        """Give back what came with the event."""
        (event,) = triggering_asset_events[USERS]
        return event.extra

    take_note()

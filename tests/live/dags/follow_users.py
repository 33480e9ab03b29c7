"""A DAG of somebody else's that follows a collection: it runs whenever a migration has written to it."""

from airflow.sdk import DAG, Asset, task

with DAG("follow_users", schedule=[Asset("firestore://live/production/users")], is_paused_upon_creation=False):

    @task
    def take_note(triggering_asset_events=None) -> dict:
        """Give back what came with the event."""
        ((event,),) = triggering_asset_events.values()
        return event.extra

    take_note()

"""Give every event its day, by windows of its time."""

from firestore_migrations import Database, Document, each_document


@each_document("events", window="at")
def up(event: Document, db: Database) -> None:
    at = event.get("at")
    event["day"] = at.strftime("%Y-%m-%d") if at else None

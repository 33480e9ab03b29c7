"""Keep the day on which a user came, for the statistics."""

from firestore_migrations import Database, Document, each_document


@each_document("users", window="createdAt")
def up(user: Document, db: Database) -> None:
    user["day"] = user["createdAt"].date().isoformat()

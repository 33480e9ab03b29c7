"""Cannot take every user."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    if user.id == "user7":
        raise ValueError(user["name"])
    user["checked"] = True

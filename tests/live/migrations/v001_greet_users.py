"""Greet every user."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    user["greeting"] = f"hello {user.id}"


@up.verify
def is_greeted(user: Document, db: Database) -> None:
    assert user["greeting"]

"""Count every document up: applied twice, or not at all, it shows."""

from firestore_migrations import Database, Document, each_document


@each_document("c", idempotent=False)
def up(document: Document, db: Database) -> None:
    document["n"] += 1

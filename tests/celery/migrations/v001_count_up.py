"""Count every document up: applied twice, or not at all, it shows."""

from firestore_migrations import Database, Document, each_document


@each_document("counters", idempotent=False)
def up(counter: Document, db: Database) -> None:
    counter["n"] += 1

"""Make numbers of the amounts that old code writes as text; whoever wrote one last, its value stays."""

from firestore_migrations import Database, Document, each_document


@each_document("orders")
def up(order: Document, db: Database) -> None:
    if isinstance(order["amount"], str):
        order["amount"] = int(order["amount"])


@up.verify
def amount_is_a_number(order: Document, db: Database) -> None:
    assert isinstance(order["amount"], int)

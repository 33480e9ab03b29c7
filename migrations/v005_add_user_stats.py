"""Add user stats.

Say why, and for whom: people read this text before they approve the run.
"""

from firestore_migrations import Database, Document, each_document


# Also: each_document("users/{uid}/invoices"), or each_document("invoices", group=True) for every depth.
@each_document("your_collection")
def up(document: Document, db: Database) -> None:
    """Change the document in place; `db` creates and changes others, and has the time: `db.now`.

    It may run more than once on a document, so ask before you change.
    """
    if "displayName" not in document:
        document["displayName"] = document.get("name", "")


@up.verify
def has_a_display_name(document: Document, db: Database) -> None:
    """What must hold of every document after apply."""
    assert isinstance(document.get("displayName"), str)

"""Change two fields of every user, as every contender of the benchmark does."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def change(user: Document, db: Database) -> None:  # noqa: ARG001 -- a transform takes both
    """Change two fields, unless they are."""
    if user["tier"] == "professional":
        user["tier"] = "growth"
        user["visits"] = 0

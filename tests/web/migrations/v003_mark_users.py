"""Mark every user, but for those that cannot be marked; names and values hold <script>alert(3)</script>."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    if user.get("unmarkable"):
        db.fail("it cannot be marked <script>alert(4)</script>")
    user["<b>mark</b>"] = "<script>alert(5)</script>"

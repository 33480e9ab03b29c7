"""Give every user a statistics document, user_stats/{uid}, that starts at zero.

The dashboard reads it instead of adding up invoices; the app's nightly count fills it.
Statistics that exist already are left as they are, and nothing in users changes.
"""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    """Create the user's statistics where there are none."""
    statistics = {
        "totalInvoices": 0,
        "totalRevenue": 0.0,  # money and averages are doubles, as `amount` of an invoice is
        "averagePaymentTime": 0.0,  # days from issue to payment
        "createdAt": db.now,
    }
    db.create(f"user_stats/{user.id}", statistics)


@up.verify
def has_statistics(user: Document, db: Database) -> None:
    """Every user has statistics."""
    assert db.get(f"user_stats/{user.id}") is not None

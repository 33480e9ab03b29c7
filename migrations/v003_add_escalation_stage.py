"""Mark every unpaid invoice with how firmly Recoup asks for the money: `escalationStage`.

The stage follows from the days since the due date: pending (not yet due), gentle (1 to 7), firm (8 to 21),
final (22 to 45), agency (more). An unpaid invoice without a due date is pending.
Paid and draft invoices get none, and a stage that is there already stays: from here on the app moves it.
"""

from firestore_migrations import Database, Document, each_document

UNPAID = ("sent", "overdue")
LAST_DAY = {"pending": 0, "gentle": 7, "firm": 21, "final": 45}


@each_document("invoices")
def up(invoice: Document, db: Database) -> None:
    """Set the stage of an unpaid invoice that has none."""
    if invoice.get("status") not in UNPAID or "escalationStage" in invoice:
        return
    due = invoice.get("dueDate") or db.now
    days = (db.now - due).days
    invoice["escalationStage"] = next((stage for stage, last in LAST_DAY.items() if days <= last), "agency")


@up.verify
def unpaid_has_a_stage(invoice: Document, db: Database) -> None:
    """Every unpaid invoice has a stage. One that was paid during the run may still carry the stage it had."""
    if invoice.get("status") in UNPAID:
        assert invoice.get("escalationStage") in {*LAST_DAY, "agency"}


@up.down
def down(invoice: Document, db: Database) -> None:
    """Without a stage, as before."""
    invoice.pop("escalationStage", None)

from datetime import datetime, timedelta, timezone

import pytest

from firestore_migrations.testing import assert_migrates, load_migration

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

up = load_migration("v003_add_escalation_stage").step("up")


@pytest.mark.parametrize("status", ["sent", "overdue"])
@pytest.mark.parametrize(
    ("days", "stage"),
    [
        (-30, "pending"),
        (0, "pending"),
        (1, "gentle"),
        (7, "gentle"),
        (8, "firm"),
        (21, "firm"),
        (22, "final"),
        (45, "final"),
        (46, "agency"),
        (900, "agency"),
    ],
)
def test_the_stage_follows_from_the_days_overdue(status, days, stage):
    invoice = {"status": status, "dueDate": NOW - timedelta(days=days)}
    assert_migrates(up, before=invoice, after={**invoice, "escalationStage": stage}, now=NOW)


@pytest.mark.parametrize("due", [{}, {"dueDate": None}])
def test_an_unpaid_invoice_without_a_due_date_is_pending(due):
    invoice = {"status": "sent", **due}
    assert_migrates(up, before=invoice, after={**invoice, "escalationStage": "pending"}, now=NOW)


@pytest.mark.parametrize("status", [{"status": "paid"}, {"status": "draft"}, {}])
def test_an_invoice_that_asks_for_nothing_gets_no_stage(status):
    invoice = {**status, "dueDate": NOW - timedelta(days=30)}
    assert_migrates(up, before=invoice, after=invoice, now=NOW)


def test_a_stage_that_is_there_stays():
    invoice = {"status": "overdue", "dueDate": NOW - timedelta(days=60), "escalationStage": "gentle"}
    assert_migrates(up, before=invoice, after=invoice, now=NOW)


def test_down_removes_the_stage():
    invoice = {"status": "overdue", "escalationStage": "firm"}
    up.reverse(invoice, None)
    assert invoice == {"status": "overdue"}

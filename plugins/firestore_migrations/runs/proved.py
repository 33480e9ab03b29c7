"""Proved: which documents are as the dry run has proved them to be right, so that they need not be read again.

The dry run has run the step on what it would leave, and on what it would not change, a day later, and nothing came of
it. A document whose update time is that of its batch's commit is what the plan left; one that has not changed since the
snapshot is what the plan did not change. Of these the names and times tell enough.
"""

from __future__ import annotations

from collections.abc import Iterable

from firestore_migrations.authoring.migration import Step
from firestore_migrations.firestore.scan import can_be_scanned_by_name
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.committed import Committed, Part, plan_of
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.planner import LATER
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.run import Run, microseconds

_LATER = LATER // LATER.resolution


class Proved:
    """What the dry run of a run has proved of one step.

    Args:
        run: that has applied its plan, up.
        step: of it.
        parts: its plans.
        failures: of its documents, which were not planned, or not written.
        now: microseconds since 1970; what `db.now` would give in another plan.
    """

    def __init__(self, run: Run, step: Step, parts: Iterable[Part], failures: Iterable[Failure], now: int) -> None:
        course = course_of(run)
        plans = [plan_of(run.folder, part) for part in parts if not part.is_residue]
        reads_others = any(plan.reads for plan in plans)
        self._began = course.read_time
        self._counts = not step.idempotent or (not reads_others and now <= course.now + _LATER)
        self._failed = {failure.path for failure in failures}

    def tells_by_name(self, step: Step, scope: Scope) -> bool:
        """Whether most documents of a scope need not be read at all: neither a filter nor a check looks into them."""
        return self._counts and not step.checks and can_be_scanned_by_name(scope)

    def covers(self, stored: Stored, item: Committed | None) -> bool:
        """Whether it is proved of a document, of which only name and times are known, that the step changes it no more.

        Args:
            stored: the document.
            item: what the run last wrote to it; None where it wrote nothing.
        """
        if not self._counts or stored.path in self._failed:
            return False
        if item is None:
            return stored.update_time <= self._began
        return item.is_as_reviewed and stored.update_time == item.commit_time

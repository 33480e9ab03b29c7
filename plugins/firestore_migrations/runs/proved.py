"""Proved: which documents are as the dry run has proved them to be right, so that they need not be read again.

The dry run has run the step on what it would leave, and on what it would not change, a day later, and nothing came of
it. A document whose update time is that of its batch's commit is what the plan left; one that has not changed since the
snapshot is what the plan did not change. Of these the names and times tell enough, where a call of the step depends on
no documents but its own and those that it writes.

One in a hundred is read all the same: a step that keeps none of its promises is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from firestore_migrations.authoring.migration import Step
from firestore_migrations.firestore.scan import can_be_scanned_by_name
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.expected import Written, is_as_left
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.plan import Plan
from firestore_migrations.runs.planner import LATER
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.run import Run, is_spot_checked

_LATER = LATER // LATER.resolution


def can_be_told_by_name(run: Run, step: Step, scope: Scope, plans: Sequence[Plan]) -> bool:
    """Whether most documents of a step need not be read again by verify, if it comes within a day.

    Args:
        run: that applies the plans, up.
        step: of it.
        scope: what the step is looked for in.
        plans: of the step's shards.
    """
    if step.checks or run.options.redrive or not can_be_scanned_by_name(scope):
        return False
    if not step.idempotent:
        return True
    # Those that led to nothing, for a reason that the plan does not name, would be read twice.
    pays = 2 * sum(plan.unchanged for plan in plans) <= sum(plan.scanned for plan in plans)
    return not any(plan.depends_on_others for plan in plans) and (pays or not needs_rows(step, plans))


def needs_rows(step: Step, plans: Iterable[Plan]) -> bool:
    """Whether nothing is proved of a document that led to nothing: another one may be why, and none is on record."""
    return step.idempotent and any(plan.knows_others for plan in plans)


class Proved:
    """What the dry run of a run has proved of one step.

    Args:
        began: the read time of its snapshot, in microseconds since 1970.
        failures: of its documents, which were not planned, or not written.
        needs_rows: whether nothing is proved of a document that led to nothing.
    """

    def __init__(self, began: int, failures: Iterable[Failure], *, needs_rows: bool) -> None:
        self._began = began
        self._needs_rows = needs_rows
        self._failed = {failure.path for failure in failures}

    @classmethod
    def of(  # noqa: PLR0913 -- all of it decides
        cls, run: Run, step: Step, scope: Scope, plans: Sequence[Plan], failures: Iterable[Failure], now: int
    ) -> Proved | None:
        """What it has proved; None where names and times do not tell enough.

        Args:
            run: that has applied its plan, up.
            step: of it.
            scope: what the step is looked for in.
            plans: of the step's shards, as reviewed.
            failures: of the run.
            now: microseconds since 1970; what `db.now` would give in another plan.
        """
        course = course_of(run)
        if not can_be_told_by_name(run, step, scope, plans) or (step.idempotent and now > course.now + _LATER):
            return None
        return cls(course.read_time, failures, needs_rows=needs_rows(step, plans))

    def covers(self, stored: Stored, written: Written | None) -> bool:
        """Whether the step is proved to change nothing more for a document, of which only name and times are known.

        What it has written to others besides must be as it was left, which `covers_others` tells.

        Args:
            stored: the document.
            written: what the run has written for it; None for nothing.
        """
        if stored.path in self._failed or is_spot_checked(stored.path):
            return False
        if written is None:
            return not self._needs_rows and stored.update_time <= self._began
        if written.own is None:
            return stored.update_time <= self._began
        return written.own.is_as_reviewed and is_as_left(written.own, stored)

    @staticmethod
    def covers_others(written: Written | None, found: Mapping[str, Stored | None]) -> bool:
        """Whether all other documents that were written are as the reviewed plan left them.

        Args:
            written: what the run has written for a document; None for nothing.
            found: the names and times of the others; None for a missing one.
        """
        others = () if written is None else written.others
        return all(item.is_as_reviewed and is_as_left(item, found[item.row.path]) for item in others)

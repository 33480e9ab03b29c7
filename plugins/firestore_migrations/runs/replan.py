"""Replanning: what becomes of a batch when one of its documents moved since it was planned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.audit import Failure
from firestore_migrations.runs.plan import Row
from firestore_migrations.runs.planner import Planned, Planner
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.rollback import CONFLICT
from firestore_migrations.runs.run import Run, instant


@dataclass(frozen=True)
class Content:
    """What a batch's commit will hold.

    Attributes:
        rows: the writes.
        failures: rows that were set aside, to be recorded in the same commit.
        drifted: how many rows were planned again.
        conflicts: how many of the failures are conflicts.
        reads: documents read for it.
        is_replanned: whether it differs from the plan in storage.
    """

    rows: list[Row]
    failures: list[Failure] = field(default_factory=list)
    drifted: int = 0
    conflicts: int = 0
    reads: int = 0
    is_replanned: bool = False

    @property
    def failed(self) -> int:
        """How many rows were set aside and are not conflicts."""
        return len(self.failures) - self.conflicts

    def without(self, rows: Iterable[Row], error: str) -> Content:
        """The same without these rows, which are set aside for this reason, and without those of the same calls.

        What one call of a step writes belongs together: the copy of a moved document, say, and the removal of the
        old one.
        """
        failures = [Failure(row.path, row.step, error, row.row) for row in rows]
        calls = {_call_of(row) for row in rows}
        return replace(
            self,
            rows=[row for row in self.rows if _call_of(row) not in calls],
            failures=[*self.failures, *failures],
            conflicts=self.conflicts + (len(failures) if error.startswith(CONFLICT) else 0),
            is_replanned=True,
        )


class Replanner:
    """Plans moved documents again, from what they are now.

    Args:
        run: whose migration.
        reader: a connection that cannot write.
    """

    def __init__(self, run: Run, reader: Reader) -> None:
        self._run = run
        self._reader = reader
        self._codec = Codec(reader)

    def replan(self, content: Content, *, give_up: bool) -> Content:
        """Plan again those rows whose document is not as planned; with `give_up`, set them aside as conflicts."""
        present, at = self._reader.get([row.path for row in content.rows])
        content = replace(content, reads=content.reads + len(content.rows))
        moved = [row for row in content.rows if _update_time(present[row.path]) != row.update_time]
        if not moved:
            return content
        if give_up:
            return content.without(moved, f"{CONFLICT}: it kept changing while it was migrated")
        hopeless = [row for row in moved if self._run.is_down or not row.source]
        if hopeless:
            why = "changed since the rollback was planned" if self._run.is_down else "changed since the script ran"
            content = content.without(hopeless, f"{CONFLICT}: {why}; left alone")
        calls = {_call_of(row) for row in moved if row.source and not self._run.is_down}
        return self._planned_again(content, calls, at) if calls else content

    def _planned_again(self, content: Content, calls: set[tuple[str, str]], at: int) -> Content:
        """Make these calls again with their sources as they are now; what they write then replaces their rows."""
        point = PointInTime(self._reader, at)
        sources = point.get(source for _, source in calls)
        rows = [row for row in content.rows if _call_of(row) not in calls]
        failures = list(content.failures)
        for step, path in sorted(calls):
            source = sources[path]
            if source is not None:  # a document that is gone has nothing to migrate
                planned = self._planned(step, source, point)
                number = next(row.row for row in content.rows if _call_of(row) == (step, path))
                rows += [row._replace(row=number) for row in planned.rows]
                failures += [failure._replace(row=number) for failure in planned.failures]
        return replace(
            content,
            rows=rows,
            failures=failures,
            drifted=content.drifted + sum(_call_of(row) in calls for row in content.rows),
            reads=content.reads + point.reads,
            is_replanned=True,
        )

    def _planned(self, step: str, source: Stored, point: PointInTime) -> Planned:
        now = instant(course_of(self._run).now)
        planner = Planner(self._run.step(step), Base(point, self._codec), now, self._run.version)
        return planner.plan([source]) if planner.matches(source) else Planned()


def _call_of(row: Row) -> tuple[str, str]:
    """What the row belongs to: a step's call with one document; in a script every row stands for itself."""
    return row.step, row.source or f"/{row.path}"


def _update_time(stored: Stored | None) -> int | None:
    return None if stored is None else stored.update_time

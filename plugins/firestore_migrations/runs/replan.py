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
from firestore_migrations.runs.planner import Planner
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
        """The same without these rows, which are set aside for this reason."""
        aside = {row.row: Failure(row.path, row.step, error, row.row) for row in rows}
        return replace(
            self,
            rows=[row for row in self.rows if row.row not in aside],
            failures=[*self.failures, *aside.values()],
            conflicts=self.conflicts + (len(aside) if error.startswith(CONFLICT) else 0),
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
        again = [row for row in moved if row.source and not self._run.is_down]
        return self._planned_again(content, again, at) if again else content

    def _planned_again(self, content: Content, rows: list[Row], at: int) -> Content:
        """Run each row's step on its source as it is now, and take what it writes to the row's document."""
        point = PointInTime(self._reader, at)
        sources = point.get(row.source for row in rows)
        new: dict[int, Row] = {}
        failures: list[Failure] = []
        for row in rows:
            source = sources[row.source]
            if source is not None:
                self._plan_one(row, source, point, new, failures)
        gone = {row.row for row in rows} - set(new)
        kept = [new.get(row.row, row) for row in content.rows if row.row not in gone]
        return replace(
            content,
            rows=kept,
            failures=[*content.failures, *failures],
            drifted=content.drifted + len(rows),
            reads=content.reads + point.reads,
            is_replanned=True,
        )

    def _plan_one(
        self, row: Row, source: Stored, point: PointInTime, new: dict[int, Row], failures: list[Failure]
    ) -> None:
        now = instant(course_of(self._run).now)
        planner = Planner(self._run.step(row.step), Base(point, self._codec), now, self._run.version)
        if not planner.matches(source):
            return
        planned = planner.plan([source])
        failures += [failure._replace(row=row.row) for failure in planned.failures]
        for candidate in planned.rows:
            if candidate.path == row.path:
                new[row.row] = candidate._replace(row=row.row)


def _update_time(stored: Stored | None) -> int | None:
    return None if stored is None else stored.update_time

"""Replanning: what becomes of a batch when one of its documents moved since it was planned."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.firestore.change import CREATED
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import rollback
from firestore_migrations.runs.expiry import Expiry
from firestore_migrations.runs.failure import CONFLICT, Failure
from firestore_migrations.runs.plan import Call, Row, pins
from firestore_migrations.runs.planned import Planned
from firestore_migrations.runs.planner import Planner
from firestore_migrations.runs.preflight import Course, course_of
from firestore_migrations.runs.run import Run, instant


@dataclass(frozen=True)
class Content:
    """What a batch's commit will hold.

    Attributes:
        rows: the writes.
        calls: all that the batch was planned from; some may come to nothing.
        failures: of calls that were set aside, to be recorded in the same commit.
        drifted: how many rows were planned again.
        reads: documents read for it.
        moved: the calls that the last replanning made again.
        is_replanned: whether it differs from the plan in storage.
    """

    rows: list[Row]
    calls: frozenset[Call]
    failures: tuple[Failure, ...] = ()
    drifted: int = 0
    reads: int = 0
    moved: frozenset[Call] = frozenset()
    is_replanned: bool = False

    @classmethod
    def of(cls, rows: list[Row]) -> Content:
        """What was planned."""
        return cls(rows, frozenset(row.call for row in rows))

    @property
    def written(self) -> frozenset[Call]:
        """The calls that lead to a write."""
        return frozenset(row.call for row in self.rows)

    @property
    def unchanged(self) -> int:
        """How many calls came to nothing: their documents are gone, or as they should be."""
        set_aside = {failure.call for failure in self.failures}
        return sum(call not in set_aside for call in self.calls - self.written)

    def without(self, rows: Iterable[Row], error: str) -> Content:
        """The same without these rows, which are set aside for this reason, and without those of the same calls.

        What one call of a step writes belongs together: the copy of a moved document, say, and the removal of the
        old one.
        """
        failures = {row.call: _failure(row, error) for row in rows}
        return replace(
            self,
            rows=[row for row in self.rows if row.call not in failures],
            failures=(*self.failures, *failures.values()),
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

    @cached_property
    def _course(self) -> Course:
        return course_of(self._run)

    @cached_property
    def _expiry(self) -> Expiry:
        return Expiry(self._run.version, self._course.ttl.known, self._course.now)

    def replan(self, content: Content) -> Content:
        """Make those calls again whose documents are not as planned; `moved` says which those were.

        Raises:
            DataWouldExpire: a time-to-live policy would delete a document after what it would be now.
        """
        pinned = pins(content.rows)
        present, at = self._reader.get([*(row.path for row in content.rows), *pinned])
        times = {path: None if stored is None else stored.update_time for path, stored in present.items()}
        content = replace(content, reads=content.reads + len(times), moved=frozenset())
        moved_pins = {path for path, time in pinned.items() if times[path] != time}
        moved = [row for row in content.rows if times[row.path] != row.update_time or row.source in moved_pins]
        if not moved:
            return content
        if self._run.is_down:
            return self._taken_back_again(content, moved, present)
        content = content.without([row for row in moved if not row.source], f"{CONFLICT}: changed since the script ran")
        calls = {row.call for row in moved if row.source}
        return self._planned_again(content, calls, at) if calls else content

    def _planned_again(self, content: Content, calls: set[Call], at: int) -> Content:
        """Make these calls again with their sources as they are now; what they write then replaces their rows."""
        point = PointInTime(self._reader, at)
        sources = point.get(source for _, source in calls)
        rows = [row for row in content.rows if row.call not in calls]
        failures = list(content.failures)
        for step, path in sorted(calls):
            source = sources[path]
            if source is not None:  # a document that is gone has nothing to migrate
                planned = self._planned(step, source, point)
                number = next(row.row for row in content.rows if row.call == (step, path))
                written = {row.path for row in rows}
                rows += [row._replace(row=number) for row in planned.rows if not _is_there_already(row, written)]
                failures += [failure._replace(row=number, task="apply") for failure in planned.failures]
        rows.sort(key=lambda row: row.row)  # in the order of the plan, as everything that reads them expects
        return replace(
            content,
            rows=rows,
            failures=tuple(failures),
            drifted=content.drifted + sum(row.call in calls for row in content.rows),
            reads=content.reads + point.reads,
            moved=frozenset(calls),
            is_replanned=True,
        )

    def _planned(self, step: str, source: Stored, point: PointInTime) -> Planned:
        now = instant(self._course.now)
        planner = Planner(self._run.step(step), Base(point, self._codec), now, self._run.version)
        planned = planner.plan([source]) if planner.matches(source) else Planned()
        for row in planned.rows:
            self._expiry.see(row)
        return planned

    def _taken_back_again(self, content: Content, moved: list[Row], present: dict[str, Stored | None]) -> Content:
        """Take back of these documents what the edits since the plan of the rollback have left of it."""
        rows = [row for row in content.rows if row not in moved]
        failures = list(content.failures)
        for row in moved:
            again, fields = rollback.replanned(row, present[row.path], self._codec)
            if again is not None:
                rows.append(again._replace(row=row.row, source_time=None))
            if fields:
                error = f"{CONFLICT}: {', '.join(fields)} changed while it was taken back; left alone"
                failures.append(_failure(row, error))
        return replace(
            content,
            rows=rows,
            failures=tuple(failures),
            drifted=content.drifted + len(moved),
            moved=frozenset(row.call for row in moved),
            is_replanned=True,
        )


def _is_there_already(row: Row, written: AbstractSet[str]) -> bool:
    """Whether another call of the batch creates the same document; one of them is enough, as in the plan."""
    return row.operation == CREATED and row.path != row.source and row.path in written


def _failure(row: Row, error: str) -> Failure:
    """That a call was set aside, because of one of its rows."""
    path = row.source or row.path
    return Failure(path, row.step, error if path == row.path else f"{error} (it writes {row.path})", row.row, "apply")

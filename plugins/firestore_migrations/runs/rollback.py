"""Rollback: the plan that takes runs back, from their before-images, and leaves what people wrote since.

A field that both have written goes the author's way back, where the step has one. Else it is left alone and listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

from firestore_migrations.authoring.drafts import Base
from firestore_migrations.authoring.migration import Step
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import (
    DELETED,
    Change,
    applied,
    deletion,
    replacement,
    stamped_paths,
    written_paths,
)
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.fields import FieldPath, api_path, same_field
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.failure import CONFLICT, Failure
from firestore_migrations.runs.options import DOWN
from firestore_migrations.runs.plan import Row, row_of
from firestore_migrations.runs.planned import Planned
from firestore_migrations.runs.planner import Planner
from firestore_migrations.runs.preflight import Course
from firestore_migrations.runs.restore import restored, taken_out
from firestore_migrations.runs.reverse import reverse
from firestore_migrations.runs.run import Run, instant
from firestore_migrations.runs.undo import Undo, undos

_AT_ONCE = 500
_MOST_FIELDS = 20


def present_documents(run: Run, audit: Audit, undoes: Sequence[str], at: PointInTime) -> Iterator[Stored]:
    """The documents that the runs wrote, as they are at the read time; missing ones are left out."""
    remaining = undos(run, audit, undoes)
    while chunk := list(islice(remaining, _AT_ONCE)):
        found = at.get(undo.path for undo in chunk)
        yield from (stored for undo in chunk if (stored := found[undo.path]))


def plan(
    run: Run, audit: Audit, course: Course, snapshot: Iterable[list[Stored]], base: Base
) -> Iterator[tuple[Planned, int]]:
    """Plan the inverse of what the runs wrote, some hundred documents at once, each with how many were looked at.

    Args:
        run: the run `down`.
        audit: of the target.
        course: which runs it takes back.
        snapshot: what `present_documents` gave.
        base: the database at the read time.
    """
    way_back = _WayBack(run, audit, course, base)
    present = chain.from_iterable(snapshot)
    following = next(present, None)
    remaining = undos(run, audit, course.undoes)
    while chunk := list(islice(remaining, _AT_ONCE)):
        planned = Planned()
        for undo in chunk:
            stored = None
            if following is not None and following.path == undo.path:
                stored, following = following, next(present, None)
            way_back.plan(undo, stored, planned)
        yield planned, len(chunk)


def replanned(row: Row, present: Stored | None, codec: Codec) -> tuple[Row | None, tuple[str, ...]]:
    """Plan a row again whose document has changed since: what it was to do, where nobody else did anything.

    Args:
        row: of a run `down`.
        present: the document as it is now, or None.
        codec: of the database.

    Returns:
        The new row, or None where nothing is left to do; and the fields that are left alone, by their paths.
    """
    write = wire.Write.FromString(row.write)
    raw = None if present is None else present.raw
    planned_from, now = wire.document_of(row.before), wire.document_of(raw)
    merged = taken_out(applied(planned_from, write), planned_from, now)
    conflicts = list(merged.conflicts)
    stamps: list[FieldPath] = []
    for path in stamped_paths(write) if merged.document is not None and () not in conflicts else ():
        (stamps if same_field(path, planned_from, now) else conflicts).append(path)
    inverse = _change(codec.full_name(row.path), now, merged.document, stamps)
    if inverse is None:
        return None, _names(conflicts)
    again = row_of(row.source, row.step, row.path, now, inverse, raw)
    return again._replace(row=row.row), _names(conflicts)


class _WayBack:
    """Plans the way back of one document after another; what only conflicts need is read when one comes."""

    def __init__(self, run: Run, audit: Audit, course: Course, base: Base) -> None:
        self._run = run
        self._audit = audit
        self._course = course
        self._base = base

    def plan(self, undo: Undo, stored: Stored | None, planned: Planned) -> None:
        """Add to `planned` a row, what is left alone, both, or that nothing has to change."""
        raw = None if stored is None else stored.raw
        now, newest = wire.document_of(raw), undo.rows[0].row
        name = self._base.codec.full_name(undo.path)
        document, conflicts, _ = restored(undo, now, self._is_ours)
        stamps: tuple[FieldPath, ...] = ()
        planner = self._author(newest) if conflicts and document is not None else None
        if planner is not None:
            conflicts, merged = (), _change(name, now, document)
            given_back = [] if merged is None else written_paths(wire.Write.FromString(merged.write))
            document, stamps, failure = reverse(planner, undo.path, document, given_back)
            if failure:
                planned.failures.append(Failure(undo.path, newest.step, failure))
                return
        if conflicts:
            error = f"{CONFLICT}: {', '.join(_names(conflicts))} changed since the run; left alone"
            planned.failures.append(Failure(undo.path, newest.step, error))
        inverse = _change(name, now, document, stamps)
        if inverse is not None:
            planned.rows.append(row_of(undo.path, newest.step, undo.path, now, inverse, raw))
        elif not conflicts:
            planned.unchanged += 1

    def _author(self, row: Row) -> Planner | None:
        """The planner of the author's `down` for the row's document; None where none is, or a rollback wrote it."""
        if row.path != row.source or row.operation == DELETED or self._is_of_a_rollback:
            return None
        steps = {step.name: step for step in self._run.migration.steps}
        function = steps[row.step].reverse if row.step in steps else None
        if function is None:
            return None
        return Planner(Step(function, None), self._base, instant(self._course.now), self._run.version)

    @cached_property
    def _is_of_a_rollback(self) -> bool:
        runs = self._audit.runs(self._run.version)
        return any(runs[run_id]["direction"] == DOWN for run_id in self._course.undoes)

    def _is_ours(self, time: int) -> bool:
        return time in self._commit_times

    @cached_property
    def _commit_times(self) -> frozenset[int]:
        version, runs = self._run.version, self._audit.runs(self._run.version)
        # Another window's run may stand above what is taken back: what it wrote since stays, like what people write.
        is_of_a_window = any(runs[run_id].get("window") for run_id in self._course.undoes)
        names = self._course.undoes if self._run.options.undo and is_of_a_window else runs
        batches = (self._audit.batches(version, run_id) for run_id in names)
        return frozenset(record.commit_time for records in batches for record in records)


def _change(full_name: str, now: Any | None, document: Any | None, stamps: Iterable[FieldPath] = ()) -> Change | None:
    """The change that makes `document` of what there is now; None where they are the same."""
    if document is None:
        return None if now is None else deletion(full_name, now)
    return replacement(full_name, now, document, stamps)


def _names(paths: Sequence[FieldPath]) -> tuple[str, ...]:
    """Field paths as Firestore writes them; the first ones, where they are many."""
    names = [api_path(path) if path else "the document" for path in paths]
    more = len(names) - _MOST_FIELDS
    return (*names,) if more <= 0 else (*names[:_MOST_FIELDS], f"{more} more fields")

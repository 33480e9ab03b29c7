"""Rollback: the plan that takes runs back, from their before-images.

A document that is as the run left it becomes exactly what it was before: created ones go, deleted ones come back.
One that was changed since is reported and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import DELETED, Change, applied, change, deletion, is_still_held, same_fields
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.audit import Audit, Failure
from firestore_migrations.runs.committed import Committed, committed_rows, parts_of
from firestore_migrations.runs.plan import Row
from firestore_migrations.runs.planner import Planned, row_of
from firestore_migrations.runs.run import Run

_AT_ONCE = 500
CONFLICT = "conflict"


class Undo(NamedTuple):
    """What the runs that are taken back did to one document.

    Attributes:
        first: the row whose before-image it goes back to.
        last: the row that was committed last.
        commit_time: when that was.
        was_edited: whether somebody edited it between the two, and built on what the first had written.
    """

    first: Row
    last: Row
    commit_time: int
    was_edited: bool = False


def present_documents(run: Run, audit: Audit, undoes: Iterable[str], at: PointInTime) -> Iterator[Stored]:
    """The documents that the runs wrote, as they are at the read time; missing ones are left out."""
    remaining = _undos(run, audit, undoes)
    while undos := list(islice(remaining, _AT_ONCE)):
        paths = [undo.first.path for undo in undos]
        found = at.get(paths)
        yield from (stored for path in paths if (stored := found[path]))


def plan(
    run: Run, audit: Audit, undoes: Iterable[str], snapshot: Iterable[list[Stored]], codec: Codec
) -> Iterator[tuple[Planned, int]]:
    """Plan the inverse of what the runs wrote, some hundred documents at once, each with how many were looked at.

    Args:
        run: the run `down`.
        audit: of the target.
        undoes: the runs to take back, newest first.
        snapshot: what `present_documents` gave.
        codec: of the database.
    """
    present = chain.from_iterable(snapshot)
    following = next(present, None)
    remaining = _undos(run, audit, undoes)
    while undos := list(islice(remaining, _AT_ONCE)):
        planned = Planned()
        for undo in undos:
            stored = None
            if following is not None and following.path == undo.first.path:
                stored, following = following, next(present, None)
            _plan_one(undo, stored, codec, planned)
        yield planned, len(undos)


def _plan_one(undo: Undo, stored: Stored | None, codec: Codec, planned: Planned) -> None:
    path, step = undo.first.path, undo.first.step
    now = None if stored is None else wire.Document.FromString(stored.raw)
    before = None if undo.first.before is None else wire.Document.FromString(undo.first.before)
    if same_fields(now, before):
        planned.unchanged += 1
    elif undo.was_edited:
        planned.failures.append(Failure(path, step, f"{CONFLICT}: changed between the runs; left alone"))
    elif _is_as_left(undo, now):
        inverse = _inverse(codec.full_name(path), now, before)
        raw = None if stored is None else stored.raw
        planned.rows.append(row_of(path, step, path, now, inverse, raw))
    else:
        planned.failures.append(Failure(path, step, f"{CONFLICT}: changed since the run; left alone"))


def _is_as_left(undo: Undo, now: Any | None) -> bool:
    """Whether a document is as the run left it: by its update time, or by its contents."""
    if now is not None and wire.micros(now.update_time) == undo.commit_time:
        return True
    write = wire.Write.FromString(undo.last.write)
    if write.update_transforms:
        return False  # the server's stamps are known by the update time alone
    left = applied(None if undo.last.before is None else wire.Document.FromString(undo.last.before), write)
    return same_fields(now, left)


def _inverse(full_name: str, now: Any | None, before: Any | None) -> Change:
    """The change that makes of a document what it was; the two are different."""
    if before is None:
        return deletion(full_name, now)
    fields: dict[str, Any] = {} if now is None else dict.fromkeys(now.fields)
    fields.update(before.fields)
    inverse = change(full_name, now, fields, [], None)
    return inverse if inverse is not None else deletion(full_name, now)


def _undos(run: Run, audit: Audit, undoes: Iterable[str]) -> Iterator[Undo]:
    """Every document that the runs wrote, once, in the order of the first row that wrote it."""
    oldest_first = list(undoes)[::-1]
    if not oldest_first:
        return iter(())
    committed = (
        row for run_id in oldest_first for row in committed_rows(run.of(run_id), audit.batches(run.version, run_id))
    )
    if len(oldest_first) == 1 and len(parts_of(run.of(oldest_first[0]))) == 1:
        return (Undo(item.row, item.row, item.commit_time) for item in committed)
    return iter(_joined(committed).values())


def _joined(committed: Iterable[Committed]) -> dict[str, Undo]:
    """By document, where several rows may have written one."""
    undos: dict[str, Undo] = {}
    for row, commit_time in committed:
        earlier = undos.get(row.path)
        new = Undo(row, row, commit_time)
        undos[row.path] = new if earlier is None else _continued(earlier, row, commit_time)
    return undos


def _continued(earlier: Undo, row: Row, commit_time: int) -> Undo:
    """What a further row makes of what was done before.

    Where the document is as the row before left it, they are one. Where somebody wrote it anew in the old shape, as
    code does that was not replaced yet, that is what it goes back to. An edit of the new shape is neither.
    """
    if row.update_time == (None if earlier.last.operation == DELETED else earlier.commit_time):
        return earlier._replace(last=row, commit_time=commit_time)
    before = None if row.before is None else wire.Document.FromString(row.before)
    if is_still_held(wire.Write.FromString(earlier.last.write), before):
        return earlier._replace(last=row, commit_time=commit_time, was_edited=True)
    return Undo(row, row, commit_time)

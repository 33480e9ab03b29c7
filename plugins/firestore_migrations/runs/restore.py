"""restore: what a document becomes when runs are taken back, and what of it cannot be decided.

A document that is as the newest run left it becomes its before-image. One that was changed since is merged, row by
row from the newest: what the row wrote and what still holds goes back, and the result is what the next older row finds.

Where people wrote between two of the runs, the older row finds neither what it left nor what was before it. That is no
conflict where the newer row went back: its before-image holds what people wrote. It is left alone and not listed.
Nor does an older row touch what was left alone once, or what people put back to where it was between the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import applied, stamped_paths, written_paths
from firestore_migrations.firestore.fields import FieldPath, drop_field, field_at, put_field, same_field, same_fields
from firestore_migrations.firestore.merge import merge
from firestore_migrations.runs.committed import Committed
from firestore_migrations.runs.undo import Undo


class Restored(NamedTuple):
    """What a document becomes.

    Attributes:
        document: the protobuf document, or None.
        conflicts: the paths of fields that were left alone; the empty one stands for the whole document.
        reverted: those that people had put back already.
    """

    document: Any | None
    conflicts: tuple[FieldPath, ...] = ()
    reverted: tuple[FieldPath, ...] = ()


def restored(undo: Undo, present: Any | None, is_ours: Callable[[int], bool]) -> Restored:
    """What becomes of a document when all that the runs wrote to it is taken back.

    Args:
        undo: what they wrote.
        present: the document as it is now, or None.
        is_ours: whether a time, in microseconds, is that of a commit of the version's runs.
    """
    if len(undo.rows) > 1 and same_fields(present, wire.document_of(undo.rows[-1].row.before)):
        return Restored(present)
    document = present
    given_back: list[FieldPath] = []
    listed: dict[FieldPath, bool] = {}
    for item in undo.rows:
        before = wire.document_of(item.row.before)
        if document is not None and wire.micros(document.update_time) == item.commit_time:
            document = before
        else:
            merged = taken_out(before, _left(item, before), document, is_ours)
            found = merged.document if not listed else _with_kept(listed, document, merged.document)
            for path in (*merged.conflicts, *merged.reverted):
                listed.setdefault(path, not any(_are_related(path, other) for other in given_back))
            if () in listed:
                break
            document = found
        given_back += written_paths(wire.Write.FromString(item.row.write)) if len(undo.rows) > 1 else ()
    if not listed:
        return Restored(document)
    oldest = wire.document_of(undo.rows[-1].row.before)
    conflicts = (path for path, is_listed in listed.items() if is_listed)
    return Restored(document, tuple(path for path in conflicts if not same_field(path, document, oldest)))


def taken_out(
    before: Any | None, left: Any | None, present: Any | None, is_ours: Callable[[int], bool] = lambda _: False
) -> Restored:
    """What becomes of a document when the change that made `left` of `before` is taken out of it.

    One that was deleted since and created anew is somebody else's as a whole: it is not merged.

    Args:
        before: the protobuf document before the change, or None.
        left: what the change left, with the time when that was created.
        present: as it is now.
        is_ours: whether a create time is one that we gave it; a rollback may have created it anew.
    """
    if left is not None and present is not None and present.create_time != left.create_time:
        is_whole = same_fields(present, left) or same_fields(present, before)
        if not is_whole and not is_ours(wire.micros(present.create_time)):
            return Restored(present, ((),))
    old, new, now = (None if document is None else document.fields for document in (before, left, present))
    merged = merge(old, new, now)
    if merged.fields is old:
        return Restored(before)
    if merged.fields is None or present is None:
        return Restored(None, merged.conflicts, merged.reverted)
    if merged.fields is now:
        return Restored(present, merged.conflicts, merged.reverted)
    document = wire.Document(name=present.name, create_time=present.create_time)
    for name, value in merged.fields.items():
        document.fields[name].CopyFrom(value)
    return Restored(document, merged.conflicts, merged.reverted)


def _left(item: Committed, before: Any | None) -> Any | None:
    """The document as the row left it. The server's stamps are not in the plan, but the batch's record has the same."""
    write = wire.Write.FromString(item.row.write)
    left = applied(before, write)
    if left is None:
        return None
    left.create_time.CopyFrom(wire.timestamp(item.commit_time) if before is None else before.create_time)
    for path in stamped_paths(write):
        put_field(left.fields, path, wire.Value(timestamp_value=wire.timestamp(item.stamped_at)))
    return left


def _with_kept(paths: Iterable[FieldPath], present: Any, merged: Any | None) -> Any | None:
    """The merged document with these fields as they are now."""
    document = wire.Document(name=present.name, create_time=present.create_time)
    if merged is not None:
        document.fields.MergeFrom(merged.fields)
    for path in paths:
        held = field_at(present.fields, path)
        if held is None:
            drop_field(document.fields, path)
        else:
            put_field(document.fields, path, held)
    return document if document.fields or merged is not None else None


def _are_related(one: FieldPath, other: FieldPath) -> bool:
    """Whether one path is the other's, or leads to it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]

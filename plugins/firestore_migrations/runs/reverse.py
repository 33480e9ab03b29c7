"""reverse: the author's way back of one document, for the fields that the run and people have both written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import stamped_paths
from firestore_migrations.firestore.fields import FieldPath, drop_field, field_at, put_field
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.planner import Planner


class Reversed(NamedTuple):
    """What the author's way back makes of a document.

    Attributes:
        document: the protobuf document, or None where it goes.
        stamps: the paths of fields that the server fills with its time.
        failure: why it cannot go that way; empty where it can.
    """

    document: Any | None
    stamps: tuple[FieldPath, ...] = ()
    failure: str = ""


def reverse(planner: Planner, path: str, document: Any, given_back: Iterable[FieldPath]) -> Reversed:
    """Run an author's `down` on a document. It reads at the run's read time, and writes nothing.

    Args:
        planner: of the `down`, as if that were a step.
        path: the document's.
        document: the protobuf document, of which went back what could.
        given_back: the fields that did; whatever the author makes of them, they stay as they were before the run.

    Raises:
        WriteRefused: it tried to write by itself.
    """
    created, updated = wire.micros(document.create_time), wire.micros(document.update_time)
    planned = planner.plan([Stored(path, created, updated, document.SerializeToString())])
    if planned.failures:
        return Reversed(document, failure=planned.failures[0].error)
    others = sorted(row.path for row in planned.rows if row.path != path)
    if others:
        return Reversed(document, failure=f"DocumentError: its `down` may change this document alone, not {others[0]}")
    if path not in planned.after:
        return Reversed(document)
    after = planned.after[path]
    if after is None:
        return Reversed(None)
    stamps = {stamp for row in planned.rows for stamp in stamped_paths(wire.Write.FromString(row.write))}
    result = wire.Document.FromString(after)
    given_back = set(given_back)
    for field in given_back | stamps:
        held = field_at(document.fields, field)
        if held is None:
            drop_field(result.fields, field)
        else:
            put_field(result.fields, field, held)
    return Reversed(result, tuple(sorted(stamps - given_back)))

"""Relocate: a document of one database as it would be in another, where its references lead into that other one."""

from __future__ import annotations

from typing import Any

from firestore_migrations.firestore import wire


def relocated(raw: bytes, before: str, after: str) -> Any:
    """A document without its times, its name and its references moved from one root to another.

    References into any other database stay. Nothing else of the document changes, to the last bit.

    Args:
        raw: the serialised document.
        before: the root that it is in, like `projects/p/databases/d/documents/`.
        after: the root to move it to; empty for paths that are relative to the database.

    Returns:
        A protobuf `Document`.
    """
    document = wire.Document.FromString(raw)
    document.ClearField("create_time")
    document.ClearField("update_time")
    document.name = after + document.name.removeprefix(before)
    if raw.count(before.encode()) > 1:  # once is its name
        for value in document.fields.values():
            _relocate(value, before, after)
    return document


def _relocate(value: Any, before: str, after: str) -> None:
    kind = value.WhichOneof("value_type")
    if kind == "reference_value" and value.reference_value.startswith(before):
        value.reference_value = after + value.reference_value.removeprefix(before)
    elif kind == "map_value":
        for member in value.map_value.fields.values():
            _relocate(member, before, after)
    elif kind == "array_value":
        for member in value.array_value.values:
            _relocate(member, before, after)

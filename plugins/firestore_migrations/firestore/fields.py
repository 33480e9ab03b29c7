"""Fields of a protobuf map of fields, by their paths: spelled, found, put, dropped and compared."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from firestore_migrations.firestore.values import same

FieldPath = tuple[str, ...]
_SIMPLE = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")
_PART = re.compile(r"([^`.]+)|`((?:[^`\\]|\\.)*)`", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@lru_cache(maxsize=4096)
def api_path(path: FieldPath) -> str:
    """A field path as Firestore writes it: names that are not plain words in backticks."""
    return ".".join(
        name if _SIMPLE.fullmatch(name) else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in path
    )


@lru_cache(maxsize=4096)
def parts_of(text: str) -> FieldPath:
    """The field path that `api_path` has written; the official parser takes no name that ends in a backslash."""
    return tuple(plain or _ESCAPED.sub(r"\1", quoted) for plain, quoted in _PART.findall(text))


def field_at(fields: Any, path: FieldPath) -> Any | None:
    """The value of a field of a protobuf map of fields; None where it is absent."""
    for name in path[:-1]:
        if name not in fields:
            return None
        fields = fields[name].map_value.fields
    return fields.get(path[-1])


def put_field(fields: Any, path: FieldPath, value: Any) -> None:
    """Give a field of a protobuf map of fields a value, and make the maps that lead to it."""
    for name in path[:-1]:
        if fields[name].WhichOneof("value_type") != "map_value":
            fields[name].map_value.SetInParent()
        fields = fields[name].map_value.fields
    fields[path[-1]].CopyFrom(value)


def drop_field(fields: Any, path: FieldPath) -> None:
    """Remove a field of a protobuf map of fields, where it is there."""
    for name in path[:-1]:
        if name not in fields or fields[name].WhichOneof("value_type") != "map_value":
            return
        fields = fields[name].map_value.fields
    if path[-1] in fields:
        del fields[path[-1]]


def is_plain_map(value: Any) -> bool:
    """A map whose parts can be written one by one; a vector is a map on the wire, and cannot."""
    return value.WhichOneof("value_type") == "map_value" and "__type__" not in value.map_value.fields


def same_fields(one: Any | None, other: Any | None) -> bool:
    """Whether two documents, or two missing ones, have the same contents, byte for byte."""
    if one is None or other is None:
        return one is other
    names = set(one.fields)
    return names == set(other.fields) and all(same(one.fields[name], other.fields[name]) for name in names)


def same_field(path: FieldPath, one: Any | None, other: Any | None) -> bool:
    """Whether two documents have the same in a field; the empty path stands for all of them."""
    if not path:
        return same_fields(one, other)
    left, right = (None if document is None else field_at(document.fields, path) for document in (one, other))
    return left is right if left is None or right is None else same(left, right)

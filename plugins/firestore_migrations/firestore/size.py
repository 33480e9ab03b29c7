"""How large a document is in Firestore's own count, which is not that of the wire.

A name takes 16 bytes and each of its segments; a text its UTF-8 bytes and one more; a number, a time and an id like
`__id7__` eight; a document 32 more than its name and fields. The whole of it is
https://cloud.google.com/firestore/docs/storage-size; the emulator counts the same, and an empty array or map as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore.ordering import is_numeric
from firestore_migrations.firestore.values import is_vector

MOST_BYTES = 1_048_576
_NAME, _DOCUMENT = 16, 32
_NUMBER, _POINT = 8, 16
COUNTED_FROM = MOST_BYTES // 5
"""On the wire. A point at 0, 0 takes four bytes there and sixteen here; no other value grows as much."""


def refuse_too_large(document: Any) -> None:
    """Refuse a document that Firestore would not take for its size. One that is far from it costs next to nothing.

    Args:
        document: the protobuf `Document` as it would become, with its name.

    Raises:
        InvalidValue: with its path and size.
    """
    if document.ByteSize() < COUNTED_FROM:
        return
    size = size_of(document)
    if size > MOST_BYTES:
        path = _path(document.name)
        raise InvalidValue(
            f"{path} would be {size:,} bytes; a document takes at most {MOST_BYTES:,}.",
            "Write less into it, or move a part of it into documents of its own.",
            path=path,
            size=size,
        )


def size_of(document: Any) -> int:
    """The bytes of a protobuf `Document`, its name included, as Firestore counts them."""
    return _size_of_name(document.name) + _size_of_fields(document.fields) + _DOCUMENT


def _size_of_name(full_name: str) -> int:
    return _NAME + sum(_NUMBER if is_numeric(segment) else _text(segment) for segment in _path(full_name).split("/"))


def _path(full_name: str) -> str:
    """The path of a resource name of any database: what follows projects/…/databases/…/documents."""
    return full_name.split("/", 5)[-1]


def _size_of_fields(fields: Mapping[str, Any]) -> int:
    return sum(_text(name) + _size_of_value(fields[name]) for name in fields)


def _size_of_value(value: Any) -> int:
    return _SIZES[value.WhichOneof("value_type")](value)


def _text(text: str) -> int:
    return len(text.encode()) + 1


def _size_of_array(value: Any) -> int:
    values = value.array_value.values
    return sum(map(_size_of_value, values)) if values else 1


def _size_of_map(value: Any) -> int:
    fields = value.map_value.fields
    if is_vector(value):
        return _NUMBER * len(fields["value"].array_value.values)
    return _size_of_fields(fields) or 1


_SIZES: dict[str, Callable[[Any], int]] = {
    "null_value": lambda _: 1,
    "boolean_value": lambda _: 1,
    "integer_value": lambda _: _NUMBER,
    "double_value": lambda _: _NUMBER,
    "timestamp_value": lambda _: _NUMBER,
    "string_value": lambda value: _text(value.string_value),
    "bytes_value": lambda value: len(value.bytes_value),
    "reference_value": lambda value: _size_of_name(value.reference_value),
    "geo_point_value": lambda _: _POINT,
    "array_value": _size_of_array,
    "map_value": _size_of_map,
}

"""Firestore's order: of all values across their types, and of document names."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import copysign
from typing import Any

from firestore_migrations.firestore.values import is_vector

_NULL, _BOOL, _NAN, _NUMBER, _TIME, _STRING, _BYTES, _REFERENCE, _POINT, _ARRAY, _VECTOR, _MAP = range(12)
_NUMERIC_ID = re.compile("__id-?[0-9]+__")
_DATABASE_SEGMENTS = 5  # projects/{project}/databases/{database}/documents


def order_key(value: Any) -> Any:
    """A tuple that sorts as Firestore sorts the protobuf `Value`; equal tuples are equal to its queries.

    Null, then booleans, NaN, numbers, times, strings, bytes, references, points, arrays, vectors and maps.
    Integers and doubles are one line of numbers, compared without rounding: 1 equals 1.0, 0.0 equals -0.0.

    Of a value beyond about 1500 bytes the server sorts the part that its index keeps; this sorts the whole.
    """
    return _KEYS[value.WhichOneof("value_type")](value)


def type_class(key: Any) -> int:
    """The class of an `order_key`: a query's range never leaves it."""
    return int(key[0])


def name_key(relative_path: str) -> Any:
    """A tuple that sorts as Firestore sorts document names: segment by segment.

    Ids like `__id7__` come first, as numbers; all others follow in the order of their UTF-8 bytes, which is
    that of their code points.

    Args:
        relative_path: the path below the database, like `users/ada`.
    """
    return tuple(map(_segment_key, relative_path.split("/")))


def is_numeric(segment: str) -> bool:
    """Whether the id of a document is a number to Firestore, like `__id7__`."""
    return segment.startswith("__id") and _NUMERIC_ID.fullmatch(segment) is not None


def _segment_key(segment: str) -> tuple[int, Any]:
    return (0, int(segment[4:-2])) if is_numeric(segment) else (1, segment)


def _double_key(value: Any) -> Any:
    number = value.double_value
    return (_NUMBER, number) if number == number else (_NAN,)  # noqa: PLR0124 - only NaN is not itself


def _time_key(value: Any) -> Any:
    stamp = value.timestamp_value
    return _TIME, stamp.seconds, stamp.nanos // 1000


def _reference_key(value: Any) -> Any:
    segments = value.reference_value.split("/")
    database, path = segments[:_DATABASE_SEGMENTS], segments[_DATABASE_SEGMENTS:]
    return _REFERENCE, tuple(database), tuple(map(_segment_key, path))


def _point_key(value: Any) -> Any:
    point = value.geo_point_value
    return _POINT, _signed(point.latitude), _signed(point.longitude)


def _signed(number: float) -> tuple[float, float]:
    """Inside points and vectors -0.0 comes before 0.0; as numbers of their own the two are equal."""
    return number, copysign(1, number)


def _map_key(value: Any) -> Any:
    fields = value.map_value.fields
    if is_vector(value):
        dimensions = [dimension.double_value for dimension in fields["value"].array_value.values]
        return _VECTOR, len(dimensions), tuple(map(_signed, dimensions))
    return _MAP, tuple((key, order_key(fields[key])) for key in sorted(fields))


_KEYS: dict[str, Callable[[Any], Any]] = {
    "null_value": lambda _: (_NULL,),
    "boolean_value": lambda value: (_BOOL, value.boolean_value),
    "integer_value": lambda value: (_NUMBER, value.integer_value),
    "double_value": _double_key,
    "timestamp_value": _time_key,
    "string_value": lambda value: (_STRING, value.string_value),
    "bytes_value": lambda value: (_BYTES, value.bytes_value),
    "reference_value": _reference_key,
    "geo_point_value": _point_key,
    "array_value": lambda value: (_ARRAY, tuple(map(order_key, value.array_value.values))),
    "map_value": _map_key,
}

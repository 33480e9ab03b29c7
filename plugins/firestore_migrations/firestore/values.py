# ruff: noqa: TID253 - loaded only when documents are read or planned, never while a DAG is parsed
"""Values: Firestore's protobuf `Value` as the official client's Python types, and back without loss.

    kind              Python                      also accepted when encoding
    null_value        None
    boolean_value     bool
    integer_value     int, 64 bits                subclasses, as IntEnum
    double_value      float                       subclasses
    timestamp_value   DatetimeWithNanoseconds     datetime; naive is UTC, aware is converted
    string_value      str                         subclasses, as StrEnum
    bytes_value       bytes                       bytearray
    reference_value   DocumentReference           of any project and database
    geo_point_value   GeoPoint
    array_value       list                        tuple, any mutable sequence
    map_value         dict, keys sorted           any mapping
    map_value         Vector                      (a map that Firestore marks with `__type__`)

Everything here works on the plain protobuf classes: proto-plus copies lose times before 1970, as the official
client does (`int(total_seconds())` rounds towards zero, and a float has no microseconds past the year 2500).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import GeoPoint
from google.cloud.firestore_v1.types import document
from google.cloud.firestore_v1.vector import Vector

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore.encoding import Value, encode, encode_fields, encode_into

__all__ = ["Reference", "Value", "canonical", "decode", "encode", "encode_fields", "encode_into", "is_vector", "same"]

Reference = Callable[[str], Any]
"""Makes a document reference of a full resource name."""

_MapValue: Any = document.MapValue.pb()
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def decode(value: Any, reference: Reference) -> Any:
    """The Python value of a protobuf `Value`, exactly; timestamps are in UTC and keep their nanoseconds.

    Args:
        value: a plain protobuf `Value`.
        reference: called with the full resource name of each reference; it decides what a reference is, so
            one to another database or project is no error.

    Raises:
        InvalidValue: the value is unset, or of a kind that a stored document cannot have.
    """
    kind = value.WhichOneof("value_type")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise InvalidValue(
            f"A value of kind {kind or 'unset or unknown'} cannot be read.",
            "Upgrade firestore-migrations, or leave this field alone: untouched fields are never decoded.",
            kind=kind,
        )
    return decoder(value, reference)


def _decode_timestamp(value: Any, _: Reference) -> DatetimeWithNanoseconds:
    stamp = value.timestamp_value
    at = _EPOCH + timedelta(seconds=stamp.seconds)
    return DatetimeWithNanoseconds(
        at.year, at.month, at.day, at.hour, at.minute, at.second, nanosecond=stamp.nanos, tzinfo=timezone.utc
    )


def _decode_map(value: Any, reference: Reference) -> dict[str, Any] | Vector:
    fields = value.map_value.fields
    if is_vector(value):
        return Vector([dimension.double_value for dimension in fields["value"].array_value.values])
    # protobuf keeps a map in an order of the process's own, and a plan must not depend on it
    return {key: decode(fields[key], reference) for key in sorted(fields)}


def is_vector(value: Any) -> bool:
    """Whether a protobuf `Value` of kind map is Firestore's own form of a vector."""
    fields = value.map_value.fields
    return "__type__" in fields and fields["__type__"].string_value == "__vector__" and "value" in fields


_DECODERS: dict[str | None, Callable[[Any, Reference], Any]] = {
    "null_value": lambda _, __: None,
    "boolean_value": lambda value, _: value.boolean_value,
    "integer_value": lambda value, _: value.integer_value,
    "double_value": lambda value, _: value.double_value,
    "timestamp_value": _decode_timestamp,
    "string_value": lambda value, _: value.string_value,
    "bytes_value": lambda value, _: value.bytes_value,
    "reference_value": lambda value, reference: reference(value.reference_value),
    "geo_point_value": lambda value, _: GeoPoint(value.geo_point_value.latitude, value.geo_point_value.longitude),
    "array_value": lambda value, reference: [decode(item, reference) for item in value.array_value.values],
    "map_value": _decode_map,
}


def canonical(value: Any) -> bytes:
    """One sequence of bytes for one content: what a digest is made of.

    Two values of the same bytes are the same to Firestore. The reverse holds for what the server returned;
    `same` also knows which differences the server drops from what was encoded here.

    Args:
        value: a protobuf message, or the fields of a document: a protobuf map or a dict of protobuf `Value`s.
    """
    if type(value) is not Value and isinstance(value, Mapping):
        value = _MapValue(fields=value)
    serialized: bytes = value.SerializeToString(deterministic=True)
    return serialized


def same(left: Any, right: Any) -> bool:
    """Whether writing `right` over `left` would change nothing, as Firestore decides it.

    The types count (1 is not 1.0), and so does the sign of zero. Every NaN is the same, and times are
    compared in the microseconds that Firestore keeps.

    Args:
        left: a protobuf `Value`, or the fields of a document.
        right: what to compare it with, of the same form.
    """
    if type(left) is not Value:
        return _same_fields(left, right)
    kind = left.WhichOneof("value_type")
    if kind in _EXACT:
        return bool(left == right)
    if kind != right.WhichOneof("value_type"):
        return False
    return canonical(left) == canonical(right) or (kind in _COMPARISONS and _COMPARISONS[kind](left, right))


def _same_fields(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)


def _same_items(left: Any, right: Any) -> bool:
    lefts, rights = left.array_value.values, right.array_value.values
    return len(lefts) == len(rights) and all(map(same, lefts, rights))


def _same_double(left: Any, right: Any) -> bool:
    """Where the bytes differ: only NaN is not itself."""
    a, b = left.double_value, right.double_value
    return bool(a != a and b != b)  # noqa: PLR0124


def _same_time(left: Any, right: Any) -> bool:
    a, b = left.timestamp_value, right.timestamp_value
    return bool(a.seconds == b.seconds and a.nanos // 1000 == b.nanos // 1000)


_EXACT = frozenset({"null_value", "boolean_value", "integer_value", "string_value", "bytes_value", "reference_value"})
"""Kinds of which two values are the same where they are equal; 0.0 equals -0.0, and a NaN nothing."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "double_value": _same_double,
    "timestamp_value": _same_time,
    "array_value": _same_items,
    "map_value": lambda left, right: _same_fields(left.map_value.fields, right.map_value.fields),
}

# ruff: noqa: TID253 - loaded only when documents are read or planned, never while a DAG is parsed
"""Encoding: a Python value as Firestore's protobuf `Value`, or a refusal that names the field and the remedy.

The types are in the table of `values`. Each encoder writes into a `Value` that its parent already holds, so
nothing is copied on the way up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableSequence
from datetime import date, datetime
from typing import Any

from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import GeoPoint
from google.cloud.firestore_v1.types import document
from google.cloud.firestore_v1.vector import Vector

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore.impossible import Impossible, as_written, fault_of_key, refuse_type

Value: Any = document.Value.pb()
"""The plain protobuf class of a value; `Any`, because the client ships no types for it."""

_MAX_DEPTH = 20
_MAX_DIMENSIONS = 2048
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300799  # the years 1 to 9999


def encode(value: Any, path: str, *, depth: int = 0) -> Any:
    """The protobuf `Value` of a Python value, exactly.

    Args:
        value: one of the types in the table of `values`.
        path: the field's path; it is for the error message alone.
        depth: how many maps and arrays the field lies in; Firestore allows 20 in all.

    Raises:
        InvalidValue: Firestore cannot hold the value. The message names the field, the reason and the remedy,
            never the value.
    """
    target = Value()
    encode_into(target, value, path, depth=depth)
    return target


def encode_into(target: Any, value: Any, path: str, *, depth: int = 0) -> None:
    """Make of an empty protobuf `Value`, which its parent may already hold, what `encode` returns."""
    try:
        _ENCODERS[type(value)](target, value, depth)
    except Impossible as impossible:
        where = path + "".join(reversed(impossible.trail))
        raise InvalidValue(f"Field {where!r}: {impossible.what}.", impossible.remedy, field_path=where) from None


def encode_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """The protobuf fields of a whole document, by name; raises InvalidValue as `encode` does."""
    fields = {}
    for key, value in data.items():
        fault = fault_of_key(key)
        if fault:
            raise InvalidValue(f"A document's fields: {fault[0]}.", fault[1])
        fields[str.__str__(key)] = encode(value, as_written(key))  # str() of an enum's member is its name
    return fields


Encoder = Callable[[Any, Any, int], None]


class _Encoders(dict[type, Encoder]):
    """The encoder of each type; of a type that was not given, the one of its nearest base that was, found once.

    What was found for one type says nothing of those that extend it: one of `object` itself is refused.
    """

    def __init__(self, given: dict[type, Encoder]) -> None:
        super().__init__(given)
        self._given = given

    def __missing__(self, kind: type) -> Encoder:
        given = self._given
        encoder = next((given[base] for base in kind.__mro__ if base in given), None) or _encoder_by_shape(kind)
        self[kind] = encoder
        return encoder


def _encoder_by_shape(kind: type) -> Encoder:
    if hasattr(kind, "_document_path"):
        return _encode_reference
    if issubclass(kind, Mapping):
        return _encode_map
    if issubclass(kind, MutableSequence):
        return _encode_array
    return refuse_type


def _encode_null(target: Any, _: None, __: int) -> None:
    target.null_value = 0


def _encode_bool(target: Any, value: Any, _: int) -> None:
    target.boolean_value = value


def _encode_int(target: Any, value: int, _: int) -> None:
    try:
        target.integer_value = value
    except ValueError:
        raise Impossible("the integer does not fit in 64 bits", "Write float(...) or str(...).") from None


def _encode_float(target: Any, value: float, _: int) -> None:
    target.double_value = value


def _encode_str(target: Any, value: str, _: int) -> None:
    try:
        target.string_value = value
    except UnicodeEncodeError:
        raise Impossible(
            "the string has a lone surrogate, which is not Unicode text",
            "Write value.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace').",
        ) from None


def _encode_bytes(target: Any, value: bytes | bytearray, _: int) -> None:
    target.bytes_value = bytes(value)


def _encode_datetime(target: Any, value: datetime, _: int) -> None:
    _write_time(target, value, value.microsecond * 1000)


def _encode_nanoseconds(target: Any, value: DatetimeWithNanoseconds, _: int) -> None:
    _write_time(target, value, value.nanosecond or value.microsecond * 1000)


def _write_time(target: Any, value: datetime, nanos: int) -> None:
    """In whole numbers: a float has no room for microseconds far from 1970."""
    seconds = (value.toordinal() - _EPOCH_DAY) * 86400
    seconds += value.hour * 3600 + value.minute * 60 + value.second
    offset = value.utcoffset()
    if offset:
        seconds -= offset.days * 86400 + offset.seconds
        borrowed, nanos = divmod(nanos - offset.microseconds * 1000, 1_000_000_000)
        seconds += borrowed
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise Impossible("the time is outside the years 1 to 9999 of UTC", "Choose a time inside them.")
    stamp = target.timestamp_value
    stamp.SetInParent()
    stamp.seconds, stamp.nanos = seconds, nanos


def _encode_reference(target: Any, value: Any, _: int) -> None:
    target.reference_value = value._document_path  # noqa: SLF001 - the client has no other name for the full path


def _encode_geo_point(target: Any, value: GeoPoint, _: int) -> None:
    if not (-90 <= value.latitude <= 90 and -180 <= value.longitude <= 180):
        raise Impossible("the point is not on the earth", "Latitude is from -90 to 90, longitude from -180 to 180.")
    point = target.geo_point_value
    point.SetInParent()
    point.latitude, point.longitude = value.latitude, value.longitude


def _encode_vector(target: Any, value: Vector, _: int) -> None:
    if not 0 < len(value) <= _MAX_DIMENSIONS or any(map(math.isnan, value)):
        raise Impossible("the vector is empty, too long or has a NaN", "A vector has 1 to 2048 numbers.")
    fields = target.map_value.fields
    fields["__type__"].string_value = "__vector__"
    dimensions = fields["value"].array_value.values
    for dimension in value:
        dimensions.add().double_value = dimension


def _encode_array(target: Any, value: Any, depth: int) -> None:
    if len(value):  # Firestore counts an empty array as a leaf, but an empty map as a level
        _check_depth(depth)
    array = target.array_value
    array.SetInParent()
    items = array.values
    for index, item in enumerate(value):
        encoder = _ENCODERS[type(item)]
        try:
            if encoder is _encode_array or encoder is _encode_vector:
                raise Impossible(  # noqa: TRY301 - the way down is collected below
                    "an array or a vector lies directly in an array, where Firestore cannot hold it",
                    "Put a map between the two, like [{'values': [...]}].",
                )
            encoder(items.add(), item, depth + 1)
        except Impossible as impossible:
            impossible.trail.append(f"[{index}]")
            raise


def _encode_map(target: Any, value: Mapping[Any, Any], depth: int) -> None:
    _check_depth(depth)
    target.map_value.SetInParent()
    fields = target.map_value.fields
    for key, item in value.items():
        fault = fault_of_key(key)
        if fault:
            raise Impossible(*fault)
        try:
            _ENCODERS[type(item)](fields[key], item, depth + 1)
        except Impossible as impossible:
            impossible.trail.append(f".{as_written(key)}")
            raise


def _check_depth(depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise Impossible(
            f"it lies in more than {_MAX_DEPTH} maps and arrays, which is all that Firestore holds",
            "Move the inner part to a document of its own.",
        )


_ENCODERS = _Encoders(
    {
        type(None): _encode_null,
        bool: _encode_bool,
        int: _encode_int,
        float: _encode_float,
        str: _encode_str,
        bytes: _encode_bytes,
        bytearray: _encode_bytes,
        datetime: _encode_datetime,
        DatetimeWithNanoseconds: _encode_nanoseconds,
        GeoPoint: _encode_geo_point,
        Vector: _encode_vector,
        list: _encode_array,
        tuple: _encode_array,
        dict: _encode_map,
    }
)

"""Every type of value at its extremes, as the protobuf that Firestore stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firestore_migrations.firestore.wire import Value

_FIRST, _LAST = -62135596800, 253402300799
KEYS = ("a.b", "`", "\\", "\x00", "/", " ", "é", "\U0001f600", "1", "__", "*", "~[]", "x" * 1400)
"""Names of fields that are plain words to nobody."""


def extremes(project: str) -> dict[str, Any]:
    """Values by what they are; `project` is where one of the references leads."""
    alone = {**scalars(project), **_vectors()}
    in_array = {name: value for name, value in alone.items() if "vector" not in name}
    return {
        **alone,
        "no items": Value(array_value={}),
        "items": Value(array_value={"values": list(in_array.values())}),
        "no keys": Value(map_value={}),
        "keys": a_map(dict.fromkeys(KEYS, Value(integer_value=1))),
        "map of all": a_map(alone),
        "empty ones": a_map({"m": Value(map_value={}), "a": Value(array_value={}), "s": Value(string_value="")}),
        "maps in an array": Value(array_value={"values": [a_map({}), a_map(in_array), a_map({"a": _array_of_maps()})]}),
        "deep": _deep(19),
        "deep and mixed": _mixed(9),
    }


def scalars(project: str) -> dict[str, Any]:
    """Those that an array may hold too."""
    here = f"projects/{project}/databases"
    return {
        "null": Value(null_value=0),
        "true": Value(boolean_value=True),
        "false": Value(boolean_value=False),
        "int max": Value(integer_value=2**63 - 1),
        "int min": Value(integer_value=-(2**63)),
        "int zero": Value(integer_value=0),
        "one": Value(integer_value=1),
        "one as a double": Value(double_value=1.0),
        "beyond doubles": Value(integer_value=2**53 + 1),
        "zero": Value(double_value=0.0),
        "minus zero": Value(double_value=-0.0),
        "smallest": Value(double_value=5e-324),
        "largest": Value(double_value=1.7976931348623157e308),
        "infinite": Value(double_value=float("inf")),
        "minus infinite": Value(double_value=float("-inf")),
        "nan": Value(double_value=float("nan")),
        "first time": Value(timestamp_value={"seconds": _FIRST}),
        "before 1970": Value(timestamp_value={"seconds": -2, "nanos": 999_999_000}),
        "just before 1970": Value(timestamp_value={"seconds": -1, "nanos": 999_999_999}),
        "1970": Value(timestamp_value={}),
        "nanoseconds": Value(timestamp_value={"seconds": 1_700_000_000, "nanos": 123_456_789}),
        "less than a microsecond": Value(timestamp_value={"seconds": 1_700_000_000, "nanos": 999}),
        "last time": Value(timestamp_value={"seconds": _LAST, "nanos": 999_999_000}),
        "empty": Value(string_value=""),
        "composed": Value(string_value="\u00e9\x00\U0001f600"),
        "decomposed": Value(string_value="e\u0301"),
        "long": Value(string_value="\U0001f600\r\n" * 5000),
        "no bytes": Value(bytes_value=b""),
        "bytes": Value(bytes_value=bytes(range(256))),
        "here": Value(reference_value=f"{here}/(default)/documents/users/ada"),
        "a number's reference": Value(reference_value=f"{here}/(default)/documents/users/__id7__/\x00/\U0001f600"),
        "another database": Value(reference_value=f"{here}/other/documents/users/ada"),
        "elsewhere": Value(reference_value="projects/zzz/databases/other/documents/a/b/c/d"),
        "point": Value(geo_point_value={"latitude": -0.0, "longitude": 180}),
        "pole": Value(geo_point_value={"latitude": -90, "longitude": -180}),
        "null island": Value(geo_point_value={}),
    }


def a_map(fields: Mapping[str, Any]) -> Any:
    """A map of these values; also of none."""
    value = Value(map_value={"fields": fields})
    value.map_value.SetInParent()
    return value


def _vectors() -> dict[str, Any]:
    numbers = {"vector": [-0.0, 1e308], "short vector": [5e-324], "long vector": [n / 7 for n in range(2048)]}
    return {
        name: a_map(
            {
                "__type__": Value(string_value="__vector__"),
                "value": Value(array_value={"values": [Value(double_value=dimension) for dimension in dimensions]}),
            }
        )
        for name, dimensions in numbers.items()
    }


def _array_of_maps() -> Any:
    return Value(array_value={"values": [a_map({"k": Value(null_value=0)}), Value(null_value=0), a_map({})]})


def _deep(levels: int) -> Any:
    value = Value(integer_value=1)
    for _ in range(levels):
        value = a_map({"k": value})
    return value


def _mixed(pairs: int) -> Any:
    value = Value(double_value=-0.0)
    for _ in range(pairs):
        value = a_map({"`k.": Value(array_value={"values": [value, Value(map_value={})]})})
    return value

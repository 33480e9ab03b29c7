"""Every type of value at its extremes, as the protobuf that Firestore stores."""

from __future__ import annotations

from typing import Any

from firestore_migrations.firestore.wire import Value


def extremes(project: str) -> dict[str, Any]:
    """Fields that no migration touches; `project` is where one of the references leads."""
    here = f"projects/{project}/databases/(default)/documents"
    return {
        "null": Value(null_value=0),
        "true": Value(boolean_value=True),
        "int max": Value(integer_value=2**63 - 1),
        "int min": Value(integer_value=-(2**63)),
        "one": Value(integer_value=1),
        "one as a double": Value(double_value=1.0),
        "minus zero": Value(double_value=-0.0),
        "smallest": Value(double_value=5e-324),
        "infinite": Value(double_value=float("inf")),
        "nan": Value(double_value=float("nan")),
        "first time": Value(timestamp_value={"seconds": -62135596800}),
        "before 1970": Value(timestamp_value={"seconds": -2, "nanos": 999_999_000}),
        "last time": Value(timestamp_value={"seconds": 253402300799, "nanos": 999_999_000}),
        "empty": Value(string_value=""),
        "composed": Value(string_value="\u00e9\x00\U0001f600"),
        "decomposed": Value(string_value="e\u0301"),
        "bytes": Value(bytes_value=bytes(range(256))),
        "here": Value(reference_value=f"{here}/users/ada"),
        "elsewhere": Value(reference_value="projects/zzz/databases/other/documents/a/b/c/d"),
        "point": Value(geo_point_value={"latitude": -0.0, "longitude": 180}),
        "no items": Value(array_value={}),
        "items": Value(array_value={"values": [Value(null_value=0), Value(map_value={})]}),
        "no keys": Value(map_value={}),
        "keys": Value(map_value={"fields": {name: Value(integer_value=1) for name in ("a.b", "`", "\\", "\x00", "/")}}),
        "vector": Value(
            map_value={
                "fields": {
                    "__type__": Value(string_value="__vector__"),
                    "value": Value(array_value={"values": [Value(double_value=x) for x in (-0.0, 1e308)]}),
                }
            }
        ),
        "deep": _deep(19),
    }


def _deep(levels: int) -> Any:
    value = Value(integer_value=1)
    for _ in range(levels):
        value = Value(map_value={"fields": {"k": value}})
    return value

"""Settling: what an author assigned, as the value that will be stored.

Array unions, increments and the like are worked out here, on the state that the write's precondition pins: the plan
then shows the value that will be written, and sending it twice cannot count twice. The server's time alone stays a
transform.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.cloud.firestore_v1 import transforms as official

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore import sentinels, wire
from firestore_migrations.firestore.document import ATOMS
from firestore_migrations.firestore.fields import FieldPath, api_path, is_plain_map
from firestore_migrations.firestore.impossible import fault_of_key
from firestore_migrations.firestore.ordering import order_key
from firestore_migrations.firestore.values import encode, encode_into

_INT64 = 2**63
_DEEPEST_VALUE = 21
_STAMPS = (sentinels.SERVER_TIMESTAMP, official.SERVER_TIMESTAMP)
_UNION = (sentinels.ArrayUnion, official.ArrayUnion)
_REMOVE = (sentinels.ArrayRemove, official.ArrayRemove)
_INCREMENT = (sentinels.Increment, official.Increment)
_SENTINELS = (*_UNION, *_REMOVE, *_INCREMENT, official.Maximum, official.Minimum, official.Sentinel, type(_STAMPS[0]))


def is_sentinel(value: Any) -> bool:
    """Whether a value stands for a change, ours or the official client's."""
    return isinstance(value, _SENTINELS)


def is_delete(value: Any) -> bool:
    """Whether a value stands for the removal of its field."""
    return value is sentinels.DELETE_FIELD or value is official.DELETE_FIELD


def is_server_time(value: Any) -> bool:
    """Whether a value stands for the server's time."""
    return any(value is stamp for stamp in _STAMPS)


def settled(sentinel: Any, old: Any | None, path: FieldPath) -> Any:
    """The stored value that ArrayUnion, ArrayRemove, Increment, Maximum or Minimum leaves in place of `old`."""
    return Settling().work_out(sentinel, old, path)


class Settling:
    """Turns what an author assigned into stored values, sentinels worked out; collects the fields to stamp."""

    def __init__(self) -> None:
        self.stamps: list[FieldPath] = []

    def put(self, fields: Any, path: FieldPath, value: Any, old: Any | None) -> Any | None:
        """Put the stored form of `value`, in place of `old`, among protobuf fields of which none has its name yet.

        Returns:
            What was put there; None where the field goes away, or where the server fills one that is missing.
        """
        is_atom = type(value) in ATOMS
        if not is_atom and is_sentinel(value):
            value = self.work_out(value, old, path)
            if value is None:
                return None
        target = fields[path[-1]]
        if type(value) is wire.Value:
            target.CopyFrom(value)
        elif is_atom or not _holds_sentinel(value):
            encode_into(target, value, api_path(path), depth=len(path) - 1)
        elif isinstance(value, Mapping):
            self._put_map(target, path, value, old)
        else:
            raise InvalidValue(
                f"Field {api_path(path)} has a sentinel inside an array.",
                "Assign the sentinel to the field itself.",
            )
        return target

    def _put_map(self, target: Any, path: FieldPath, value: Mapping[str, Any], old: Any | None) -> None:
        """Make of an empty `Value` a map that has a sentinel in it."""
        encode_into(target, {}, api_path(path), depth=len(path) - 1)
        old_fields = old.map_value.fields if old is not None and is_plain_map(old) else {}
        for name, item in value.items():
            if is_delete(item):
                continue
            fault = fault_of_key(name)
            if fault is not None:
                raise InvalidValue(f"Field {api_path(path)!r}: {fault[0]}.", fault[1], field_path=api_path(path))
            self.put(target.map_value.fields, (*path, name), item, old_fields.get(name))

    def work_out(self, value: Any, old: Any | None, path: FieldPath) -> Any | None:
        """The stored value that a sentinel leaves in place of `old`; None where the field goes, or is the server's."""
        if value in _STAMPS:
            self.stamps.append(path)
            return old
        if isinstance(value, _UNION):
            return _array(old, lambda have: have + _missing(_items(value, path), have))
        if isinstance(value, _REMOVE):
            unwanted = [order_key(item) for item in _items(value, path)]
            return _array(old, lambda have: [item for item in have if order_key(item) not in unwanted])
        if isinstance(value, (*_INCREMENT, official.Maximum, official.Minimum)):
            return _number(value, old, encode(value.value, api_path(path)))
        return None  # DELETE_FIELD


def _items(value: Any, path: FieldPath) -> list[Any]:
    return list(encode(list(value.values), api_path(path), depth=len(path) - 1).array_value.values)


def _array(old: Any | None, combine: Callable[[list[Any]], list[Any]]) -> Any:
    have = list(old.array_value.values) if old is not None and old.WhichOneof("value_type") == "array_value" else []
    return wire.Value(array_value=wire.ArrayValue(values=combine(have)))


def _missing(items: list[Any], have: list[Any]) -> list[Any]:
    """The items that are not yet there, each once; 3 and 3.0 are the same, as the server sees it."""
    seen = [order_key(item) for item in have]
    new = []
    for item in items:
        if order_key(item) not in seen:
            seen.append(order_key(item))
            new.append(item)
    return new


def _number(sentinel: Any, old: Any | None, operand: Any) -> Any:
    """Increment, Maximum and Minimum as the server does them: not a number counts as absent, integers saturate."""
    kind = None if old is None else old.WhichOneof("value_type")
    if kind not in ("integer_value", "double_value"):
        return operand
    have, value = getattr(old, str(kind)), getattr(operand, operand.WhichOneof("value_type"))
    if isinstance(sentinel, official.Maximum):
        return operand if value > have else old
    if isinstance(sentinel, official.Minimum):
        return operand if value < have else old
    total = have + value
    if isinstance(total, int):
        return wire.Value(integer_value=max(-_INT64, min(_INT64 - 1, total)))
    return wire.Value(double_value=total)


def _holds_sentinel(value: Any, depth: int = 0) -> bool:
    """Whether a sentinel lies in a value, as far down as Firestore would take it: a map may lie in itself."""
    if depth > _DEEPEST_VALUE:
        return False
    if isinstance(value, Mapping):
        return any(_holds_sentinel(item, depth + 1) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_sentinel(item, depth + 1) for item in value)
    return isinstance(value, _SENTINELS)

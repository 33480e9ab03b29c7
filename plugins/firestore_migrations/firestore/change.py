"""The smallest write that turns one state of a document into another, and what the document is afterwards.

A write carries a mask of exactly the fields that differ, nested ones by their own path, and the update time that it was
planned from. Array unions, increments and the like are worked out here, on the state that the precondition pins: the
plan then shows the value that will be written, and sending it twice cannot count twice. The server's time alone stays a
transform.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from google.cloud.firestore_v1 import transforms as official
from google.cloud.firestore_v1.field_path import FieldPath as FieldPathParser

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore import sentinels, wire
from firestore_migrations.firestore.document import ATOMS, Document
from firestore_migrations.firestore.impossible import fault_of_key
from firestore_migrations.firestore.ordering import order_key
from firestore_migrations.firestore.values import same

FieldPath = tuple[str, ...]
Encode = Callable[[Any, str], Any]

CREATED, UPDATED, DELETED = "created", "updated", "deleted"
_SIMPLE = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")
_INT64 = 2**63
_DEEPEST_VALUE = 21
_DEEPEST_MASK = 20  # a path of more parts is refused; the map above is then written whole
_STAMPS = (sentinels.SERVER_TIMESTAMP, official.SERVER_TIMESTAMP)
_UNION = (sentinels.ArrayUnion, official.ArrayUnion)
_REMOVE = (sentinels.ArrayRemove, official.ArrayRemove)
_INCREMENT = (sentinels.Increment, official.Increment)
_SENTINELS = (*_UNION, *_REMOVE, *_INCREMENT, official.Maximum, official.Minimum, official.Sentinel, type(_STAMPS[0]))


class Change(NamedTuple):
    """One document's planned write.

    Attributes:
        operation: `created`, `updated` or `deleted`.
        write: the protobuf `Write`, with its precondition.
        after: the protobuf `Document` that the write leaves; None for a deleted one.
    """

    operation: str
    write: Any
    after: Any

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths of the fields that differ, as Firestore writes them; all fields of a created document."""
        if self.operation == DELETED:
            return ()
        masked = [api_path((name,)) for name in self.write.update.fields] if self.operation == CREATED else ()
        stamped = [transform.field_path for transform in self.write.update_transforms]
        return tuple(sorted({*masked, *self.write.update_mask.field_paths, *stamped}))


def change_of(document: Document, encode: Encode, full_name: str, now: Any) -> Change | None:
    """What a transform did to a document; None when nothing is different.

    Args:
        document: as the transform left it.
        encode: the codec's.
        full_name: the document's resource name.
        now: the protobuf timestamp that stands for the server's time in the after-image.

    Raises:
        InvalidValue: a value that Firestore cannot hold, with the path of its field.
    """
    stored = document._stored  # noqa: SLF001 -- the planner's side of Document
    if not document._exists:  # noqa: SLF001
        return None if stored is None else deletion(full_name, stored)
    changes = document._changes()  # noqa: SLF001
    if stored is not None and not changes:
        return None
    before = {} if stored is None else stored.fields
    for name in changes:
        fault = fault_of_key(name)
        if fault is not None and name not in set(before):  # protobuf looks up no surrogate
            raise InvalidValue(f"A field of {document.path} cannot be: {fault[0]}.", fault[1], path=document.path)
    settling = _Settling(encode)
    settled = {
        name: encode(value, api_path((name,)))
        if type(value) in ATOMS
        else settling.settle(value, before.get(name), (name,))
        for name, value in changes.items()
    }
    return change(full_name, stored, settled, settling.stamps, now)


def is_sentinel(value: Any) -> bool:
    """Whether a value stands for a change, ours or the official client's."""
    return isinstance(value, _SENTINELS)


def is_server_time(value: Any) -> bool:
    """Whether a value stands for the server's time."""
    return any(value is stamp for stamp in _STAMPS)


def settled(sentinel: Any, old: Any | None, path: FieldPath, encode: Encode) -> Any:
    """The stored value that ArrayUnion, ArrayRemove, Increment, Maximum or Minimum leaves in place of `old`."""
    return _Settling(encode).settle(sentinel, old, path)


def deletion(full_name: str, stored: Any) -> Change:
    """The write that deletes a document if it is still as stored."""
    write = wire.Write(delete=full_name)
    write.current_document.update_time.CopyFrom(stored.update_time)
    return Change(DELETED, write, None)


def change(
    full_name: str, stored: Any | None, new: Mapping[str, Any | None], stamps: list[FieldPath], now: Any
) -> Change | None:
    """The write that gives top-level fields new stored values (None removes one), or None if nothing differs."""
    write = wire.Write()
    update = write.update
    update.name = full_name
    masks: list[FieldPath] = []
    _diff({} if stored is None else stored.fields, new, update.fields, (), masks)
    if stored is not None and not masks and not stamps:
        return None
    if stored is None:
        write.current_document.exists = False
    else:
        write.update_mask.field_paths.extend(sorted(map(api_path, masks)))
        write.current_document.update_time.CopyFrom(stored.update_time)
    for name in sorted(map(api_path, stamps)):
        write.update_transforms.add(field_path=name, set_to_server_value=wire.FieldTransform.ServerValue.REQUEST_TIME)
    after = _after(full_name, stored, new)
    for path in stamps:
        put_field(after.fields, path, wire.Value(timestamp_value=now))
    return Change(CREATED if stored is None else UPDATED, write, after)


def _after(full_name: str, stored: Any | None, new: Mapping[str, Any | None]) -> Any:
    """A document with new values of top-level fields."""
    after = wire.Document()
    if stored is None:
        after.name = full_name
    else:
        after.CopyFrom(stored)
    fields = after.fields
    for name, value in new.items():
        if value is not None:
            fields[name].CopyFrom(value)
        elif name in fields:
            del fields[name]
    return after


def applied(stored: Any | None, write: Any) -> Any | None:
    """The document that a write leaves of a stored one, the server's stamps aside; None for one that it deletes."""
    if write.WhichOneof("operation") == "delete":
        return None
    after = wire.Document(name=write.update.name)
    if stored is None or not write.HasField("update_mask"):
        after.CopyFrom(write.update)
        return after
    after.CopyFrom(stored)
    for text in write.update_mask.field_paths:
        path = FieldPathParser.from_api_repr(text).parts
        value = field_at(write.update.fields, path)
        if value is not None:
            put_field(after.fields, path, value)
        else:
            drop_field(after.fields, path)
    return after


def written_paths(write: Any) -> list[FieldPath]:
    """The paths of the fields that a write changes; the empty one where it is the whole document."""
    if write.WhichOneof("operation") == "delete" or not write.HasField("update_mask"):
        return [()]
    return [FieldPathParser.from_api_repr(text).parts for text in write.update_mask.field_paths] + stamped_paths(write)


def stamped_paths(write: Any) -> list[FieldPath]:
    """The paths of the fields that the server fills with its time."""
    return [FieldPathParser.from_api_repr(transform.field_path).parts for transform in write.update_transforms]


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


@lru_cache(maxsize=4096)
def api_path(path: FieldPath) -> str:
    """A field path as Firestore writes it: names that are not plain words in backticks."""
    return ".".join(
        name if _SIMPLE.fullmatch(name) else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in path
    )


def _diff(before: Any, new: Mapping[str, Any | None], target: Any, path: FieldPath, masks: list[FieldPath]) -> None:
    """Put the values that differ into `target`, and the paths of all differences into `masks`."""
    for name, value in new.items():
        here = (*path, name)
        old = before.get(name)
        if value is None:
            if old is not None:
                masks.append(here)
        elif old is not None and is_plain_map(value) and is_plain_map(old) and len(here) < _DEEPEST_MASK:
            fields, old_fields = value.map_value.fields, old.map_value.fields
            inner: dict[str, Any | None] = dict.fromkeys(old_fields)
            inner.update(fields)
            nested = wire.MapValue()
            _diff(old_fields, inner, nested.fields, here, masks)
            if nested.fields:
                target[name].map_value.CopyFrom(nested)
        elif old is None or not same(old, value):
            masks.append(here)
            target[name].CopyFrom(value)


def is_plain_map(value: Any) -> bool:
    """A map whose parts can be written one by one; a vector is a map on the wire, and cannot."""
    return value.WhichOneof("value_type") == "map_value" and "__type__" not in value.map_value.fields


def put_field(fields: Any, path: FieldPath, value: Any) -> None:
    """Give a field of a protobuf map of fields a value, and make the maps that lead to it."""
    for name in path[:-1]:
        if fields[name].WhichOneof("value_type") != "map_value":
            fields[name].map_value.SetInParent()
        fields = fields[name].map_value.fields
    fields[path[-1]].CopyFrom(value)


def field_at(fields: Any, path: FieldPath) -> Any | None:
    """The value of a field of a protobuf map of fields; None where it is absent."""
    for name in path[:-1]:
        if name not in fields:
            return None
        fields = fields[name].map_value.fields
    return fields.get(path[-1])


def drop_field(fields: Any, path: FieldPath) -> None:
    """Remove a field of a protobuf map of fields, where it is there."""
    for name in path[:-1]:
        if name not in fields or fields[name].WhichOneof("value_type") != "map_value":
            return
        fields = fields[name].map_value.fields
    if path[-1] in fields:
        del fields[path[-1]]


class _Settling:
    """Turns what an author assigned into stored values, sentinels worked out; collects the fields to stamp."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self.stamps: list[FieldPath] = []

    def settle(self, value: Any, old: Any | None, path: FieldPath) -> Any | None:
        """The stored form of `value` in place of `old`; None where the field goes away or the server fills it."""
        kind = type(value)
        if kind is wire.Value:
            return value
        if not (kind is dict or isinstance(value, (*_SENTINELS, Mapping))):
            if isinstance(value, (list, tuple)) and _holds_sentinel(value):
                raise InvalidValue(
                    f"Field {api_path(path)} has a sentinel inside an array.",
                    "Assign the sentinel to the field itself.",
                )
            return self._encode(value, api_path(path))
        if isinstance(value, Mapping):
            return self._settle_map(value, old, path)
        return self._settle_sentinel(value, old, path)

    def _settle_map(self, value: Mapping[str, Any], old: Any | None, path: FieldPath) -> Any:
        if not _holds_sentinel(value):
            return self._encode(value, api_path(path))
        old_fields = old.map_value.fields if old is not None and is_plain_map(old) else {}
        settled = wire.Value()
        settled.map_value.SetInParent()
        for name, item in value.items():
            inner = self.settle(item, old_fields.get(name), (*path, name))
            if inner is not None:
                settled.map_value.fields[name].CopyFrom(inner)
        return settled

    def _settle_sentinel(self, value: Any, old: Any | None, path: FieldPath) -> Any | None:
        if value in _STAMPS:
            self.stamps.append(path)
            return old
        if isinstance(value, _UNION):
            return self._array(old, lambda have: have + _missing(self._items(value, path), have))
        if isinstance(value, _REMOVE):
            unwanted = [order_key(item) for item in self._items(value, path)]
            return self._array(old, lambda have: [item for item in have if order_key(item) not in unwanted])
        if isinstance(value, (*_INCREMENT, official.Maximum, official.Minimum)):
            return _number(value, old, self._encode(value.value, api_path(path)))
        return None  # DELETE_FIELD

    def _items(self, value: Any, path: FieldPath) -> list[Any]:
        return list(self._encode(list(value.values), api_path(path)).array_value.values)

    def _array(self, old: Any | None, combine: Callable[[list[Any]], list[Any]]) -> Any:
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

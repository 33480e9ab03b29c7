"""The smallest write that turns one state of a document into another, and what the document is afterwards.

A write carries a mask of exactly the fields that differ, nested ones by their own path, and the update time that it was
planned from.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from google.cloud.firestore_v1.field_path import FieldPath as FieldPathParser

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.document import ATOMS, Document
from firestore_migrations.firestore.fields import FieldPath, api_path, drop_field, field_at, is_plain_map, put_field
from firestore_migrations.firestore.impossible import fault_of_key
from firestore_migrations.firestore.settling import Encode, Settling
from firestore_migrations.firestore.values import same

CREATED, UPDATED, DELETED = "created", "updated", "deleted"
_DEEPEST_MASK = 20  # a path of more parts is refused; the map above is then written whole


class Change(NamedTuple):
    """One document's planned write.

    Attributes:
        operation: `created`, `updated` or `deleted`.
        write: the serialised `Write`, with its precondition.
        after: the protobuf `Document` that the write leaves; None for a deleted one.
    """

    operation: str
    write: bytes
    after: Any

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths of the fields that differ, as Firestore writes them; all fields of a created document."""
        if self.operation == DELETED:
            return ()
        write = wire.Write.FromString(self.write)
        masked = [api_path((name,)) for name in write.update.fields] if self.operation == CREATED else ()
        stamped = [transform.field_path for transform in write.update_transforms]
        return tuple(sorted({*masked, *write.update_mask.field_paths, *stamped}))


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
    settling = Settling(encode)
    settled = {
        name: encode(value, api_path((name,)))
        if type(value) in ATOMS
        else settling.settle(value, before.get(name), (name,))
        for name, value in changes.items()
    }
    return change(full_name, stored, settled, settling.stamps, now)


def deletion(full_name: str, stored: Any) -> Change:
    """The write that deletes a document if it is still as stored."""
    write = wire.Write(delete=full_name)
    write.current_document.update_time.CopyFrom(stored.update_time)
    return Change(DELETED, _serialised(write), None)


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
    return Change(CREATED if stored is None else UPDATED, _serialised(write), after)


def _serialised(write: Any) -> bytes:
    """The bytes of a write, always the same: they are in the plan's digest."""
    return write.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


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


def _diff(before: Any, new: Mapping[str, Any | None], target: Any, path: FieldPath, masks: list[FieldPath]) -> None:
    """Put the values that differ into `target`, and the paths of all differences into `masks`."""
    for name, value in new.items():
        here = (*path, name)
        old = before.get(name)
        if value is None:
            if old is not None:
                masks.append(here)
        elif old is None or not same(old, value):
            if old is not None and is_plain_map(value) and is_plain_map(old) and len(here) < _DEEPEST_MASK:
                fields, old_fields = value.map_value.fields, old.map_value.fields
                inner: dict[str, Any | None] = dict.fromkeys(old_fields)
                inner.update(fields)
                nested = wire.MapValue()
                _diff(old_fields, inner, nested.fields, here, masks)
                if nested.fields:
                    target[name].map_value.CopyFrom(nested)
            else:
                masks.append(here)
                target[name].CopyFrom(value)

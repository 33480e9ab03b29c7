"""The smallest write that turns one state of a document into another, and what the document is afterwards.

A write carries a mask of exactly the fields that differ, nested ones by their own path, and the update time that it was
planned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.document import Document
from firestore_migrations.firestore.fields import (
    FieldPath,
    api_path,
    drop_field,
    field_at,
    is_plain_map,
    parts_of,
    put_field,
)
from firestore_migrations.firestore.impossible import fault_of_key
from firestore_migrations.firestore.settling import Settling
from firestore_migrations.firestore.values import same

CREATED, UPDATED, DELETED = "created", "updated", "deleted"
_SHORT_MASK = 20  # one of many names is that document's own, and would fill memory
_DEEPEST_MASK = 20  # a path of more parts is refused; the map above is then written whole
_IF_MISSING = wire.Write(current_document=wire.Precondition(exists=False)).SerializeToString()
"""The part of a `Write` that has it refused where there is a document."""


class Change(NamedTuple):
    """One document's planned write.

    Attributes:
        operation: `created`, `updated` or `deleted`.
        write: the serialised `Write`, with its precondition.
        after: the `Document` that the write leaves, serialised; canonical bytes for a created one. None for a deleted
            one, or where nobody asked for it.
    """

    operation: str
    write: bytes
    after: bytes | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths of the fields that differ, as Firestore writes them; all fields of a created document."""
        if self.operation == DELETED:
            return ()
        write = wire.Write.FromString(self.write)
        masked = [api_path((name,)) for name in write.update.fields] if self.operation == CREATED else ()
        stamped = [transform.field_path for transform in write.update_transforms]
        return tuple(sorted({*masked, *write.update_mask.field_paths, *stamped}))


def change_of(document: Document, now: Any) -> Change | None:
    """What a transform did to a document; None when nothing is different.

    Args:
        document: as the transform left it.
        now: the protobuf timestamp that stands for the server's time in the after-image.

    Raises:
        InvalidValue: a value that Firestore cannot hold, with the path of its field.
    """
    stored = document._stored  # noqa: SLF001 -- the planner's side of Document
    if not document._exists:  # noqa: SLF001
        return None if stored is None else deletion(document._full_name, stored)  # noqa: SLF001
    changes = document._changes()  # noqa: SLF001
    if stored is not None and not changes:
        return None
    before = {} if stored is None else stored.fields
    update = wire.Document(name=document._full_name)  # noqa: SLF001
    fields, settling = update.fields, Settling()
    values: dict[str, Any | None] = {}
    gone = []
    for name, value in changes.items():
        fault = fault_of_key(name)
        if fault is not None and name not in set(before):  # protobuf looks up no surrogate
            raise InvalidValue(f"A field of {document.path} cannot be: {fault[0]}.", fault[1], path=document.path)
        values[name] = settling.put(fields, (name,), value, before.get(name))
        if values[name] is None:
            gone.append(name)
    new = _serialised(update)
    found = _change(stored, update, values, new, settling.stamps)
    if found is None:
        return None
    raw = document._raw or (b"" if stored is None else stored.SerializeToString())  # noqa: SLF001
    after = raw + new  # of two values of a field, on the wire, the later one counts
    if gone or settling.stamps:
        after = _completed(after, gone, settling.stamps, now)
    return Change(*found, after)


def deletion(full_name: str, stored: Any) -> Change:
    """The write that deletes a document if it is still as stored."""
    return Change(DELETED, wire.Write(delete=full_name).SerializeToString() + _if_still(stored))


def replacement(full_name: str, stored: Any | None, document: Any, stamps: Iterable[FieldPath]) -> Change | None:
    """The write that gives the stored document the fields of another, or None if nothing differs; without `after`.

    Args:
        full_name: its resource name.
        stored: the document; None for one that is to be created.
        document: whose fields it is to have.
        stamps: the paths of fields that the server fills with its time.
    """
    update = wire.Document(name=full_name, fields=document.fields)
    values = {**({} if stored is None else dict.fromkeys(stored.fields)), **update.fields}
    found = _change(stored, update, values, _serialised(update), stamps)
    return None if found is None else Change(*found)


def _change(
    stored: Any | None, update: Any, values: Mapping[str, Any | None], new: bytes, stamps: Iterable[FieldPath]
) -> tuple[str, bytes] | None:
    """The operation and the write that give a document new values of top-level fields, or None if nothing differs.

    Args:
        stored: the document; None for one that is to be created.
        update: a `Document` of its name and the new values; those that are there already are taken out of it.
        values: what is in `update`, by name; None for a field that goes.
        new: `update`, serialised.
        stamps: the paths of fields that the server fills with its time.
    """
    transforms = _transforms(stamps)
    if stored is None:
        return CREATED, wire.Update(update=new).SerializeToString() + _IF_MISSING + transforms
    masks: list[FieldPath] = []
    is_narrower = _narrow(update.fields, values, stored.fields, (), masks)
    if not masks and not transforms:
        return None
    write = wire.Update(update=_serialised(update) if is_narrower else new).SerializeToString()
    return UPDATED, write + _mask(masks) + _if_still(stored) + transforms


def _completed(after: bytes, removed: Iterable[str], stamps: Iterable[FieldPath], now: Any) -> bytes:
    """A document without fields that go, and with those that the server fills."""
    document = wire.Document.FromString(after)
    fields = document.fields
    for name in removed:
        drop_field(fields, (name,))
    for path in stamps:
        put_field(fields, path, wire.Value(timestamp_value=now))
    return _serialised(document)


def _narrow(
    new: Any, values: Mapping[str, Any | None], before: Mapping[str, Any], path: FieldPath, masks: list[FieldPath]
) -> bool:
    """Leave of the new values what differs, and add the paths of all differences; whether anything was taken out."""
    is_narrower = False
    for name, value in values.items():
        here, old = (*path, name), before.get(name)
        if value is None or old is None:
            if value is not old:
                masks.append(here)
        elif same(old, value):
            del new[name]
            is_narrower = True
        elif is_plain_map(value) and is_plain_map(old) and len(here) < _DEEPEST_MASK:
            inner, inner_before = value.map_value.fields, old.map_value.fields
            is_narrower |= _narrow(inner, {**dict.fromkeys(inner_before), **inner}, inner_before, here, masks)
            if not inner:
                del new[name]
                is_narrower = True
        else:
            masks.append(here)
    return is_narrower


def _serialised(message: Any) -> bytes:
    """The bytes of a message, always the same: they are in the plan's digest."""
    return message.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def _mask(paths: list[FieldPath]) -> bytes:
    """The part of a `Write` that says which fields it touches; what most documents of a step share is made once."""
    return (_mask_of if len(paths) <= _SHORT_MASK else _mask_of.__wrapped__)(tuple(paths))


@lru_cache(maxsize=256)
def _mask_of(paths: tuple[FieldPath, ...]) -> bytes:
    return _serialised(wire.Write(update_mask=wire.DocumentMask(field_paths=sorted(map(api_path, paths)))))


def _if_still(stored: Any) -> bytes:
    """The part of a `Write` that has it refused where the document was written since: a `Precondition` in field 4."""
    time = stored.update_time.SerializeToString()  # below 18 bytes, so each length is one byte
    return b"\x22%c\x12%c%b" % (len(time) + 2, len(time), time)


def _transforms(stamps: Iterable[FieldPath]) -> bytes:
    """The part of a `Write` that has the server fill fields with its time."""
    if not stamps:
        return b""
    write = wire.Write()
    for name in sorted(map(api_path, stamps)):
        write.update_transforms.add(field_path=name, set_to_server_value=wire.FieldTransform.ServerValue.REQUEST_TIME)
    return _serialised(write)


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
        path = parts_of(text)
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
    return [parts_of(text) for text in write.update_mask.field_paths] + stamped_paths(write)


def stamped_paths(write: Any) -> list[FieldPath]:
    """The paths of the fields that the server fills with its time."""
    return [parts_of(transform.field_path) for transform in write.update_transforms]

"""The three-way merge of one document: a change is taken out of it, and what others wrote since stays.

There are three states: `before` the change, `after` it, and `present`. Field by field, and into maps:

1. `present` is as the change left it: the field goes back to `before`.
2. The change did nothing to it, or it is back to `before` already: it stays as it is.
3. Both are maps, and `before` was one too or was not there: the same is asked of every key. A map that the change
   made, and of which nothing is left, goes.
4. Otherwise the change and somebody else have both written it. It stays as it is, and its path is a conflict.

Arrays, vectors and all other values are taken whole: nobody can say which part of them is whose. A document is to this
like a map, and one that is missing like a field that is absent. Equal is what Firestore would store as the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.fields import FieldPath, is_plain_map
from firestore_migrations.firestore.values import same

Fields = Mapping[str, Any]


class Merged(NamedTuple):
    """What a merge comes to. The empty path stands for the whole document.

    Attributes:
        fields: stored values by name; None where there is to be no document.
        conflicts: the paths that were left alone.
        reverted: the paths that somebody else had already put back to what they were before.
    """

    fields: Fields | None
    conflicts: tuple[FieldPath, ...] = ()
    reverted: tuple[FieldPath, ...] = ()


def merge(before: Fields | None, after: Fields | None, present: Fields | None) -> Merged:
    """Take out of `present` what turned `before` into `after`. A pure function.

    Args:
        before: the stored fields, as protobuf values by name; None where there was no document.
        after: those that the change left.
        present: those that there are now.
    """
    if _same_fields(present, after):
        return Merged(before)
    if _same_fields(before, after):
        return Merged(present)
    if after is None or present is None:
        return Merged(present, reverted=((),)) if _same_fields(present, before) else Merged(present, ((),))
    merging = _Merging([], [])
    fields = merging.fields(before, after, present, ())
    return Merged(fields if fields or before is not None else None, tuple(merging.conflicts), tuple(merging.reverted))


class _Merging(NamedTuple):
    """Goes down the fields of one document, and notes what it finds."""

    conflicts: list[FieldPath]
    reverted: list[FieldPath]

    def fields(self, before: Fields | None, after: Fields, present: Fields, path: FieldPath) -> Fields:
        old: Fields = {} if before is None else before
        merged = {
            name: self.value(old.get(name), after.get(name), present.get(name), (*path, name))
            for name in sorted({*old, *after, *present})
        }
        return {name: value for name, value in merged.items() if value is not None}

    def value(self, before: Any, after: Any, present: Any, path: FieldPath) -> Any | None:
        """One field: what it becomes, or None where it goes."""
        if _same(present, after):
            return before
        if _same(before, after):
            return present
        if _same(present, before):
            self.reverted.append(path)
            return present
        if not (_is_map(after) and _is_map(present) and (before is None or _is_map(before))):
            self.conflicts.append(path)
            return present
        inner = None if before is None else before.map_value.fields
        fields = self.fields(inner, after.map_value.fields, present.map_value.fields, path)
        if not fields and before is None:
            return None
        merged = wire.Value(map_value=wire.MapValue())
        for name, value in fields.items():
            merged.map_value.fields[name].CopyFrom(value)
        return merged


def _is_map(value: Any | None) -> bool:
    return value is not None and is_plain_map(value)


def _same(one: Any | None, other: Any | None) -> bool:
    return one is other if one is None or other is None else same(one, other)


def _same_fields(one: Fields | None, other: Fields | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)

"""Samples: a few planned rows as people read them, field by field, by the target's policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import applied
from firestore_migrations.firestore.fields import api_path
from firestore_migrations.firestore.values import decode, same
from firestore_migrations.runs.committed import Part, batches_of
from firestore_migrations.runs.plan import Row, collection_of
from firestore_migrations.runs.run import NONE, SHAPES
from firestore_migrations.runs.storage import Folder

_MOST_TEXT = 60
_BATCHES_LOOKED_AT = 10
ABSENT = ""
_SERVER_TIME = "the server's time"


class Difference(NamedTuple):
    """One field of a sampled document.

    Attributes:
        field: its path.
        before: what it was; empty where it was absent.
        after: what it will be; empty where it will be absent.
        before_type: Firestore's name of the type that it had.
        after_type: of the type that it will have.
    """

    field: str
    before: str
    after: str
    before_type: str = ""
    after_type: str = ""


class Sample(NamedTuple):
    """One planned row, to be looked at."""

    path: str
    operation: str
    differences: tuple[Difference, ...]


def samples(folder: Folder, parts: list[Part], count: int, policy: str) -> list[Sample]:
    """The first planned rows of each collection and operation, `count` in all.

    Args:
        folder: the run's.
        parts: its plans.
        count: how many; shared among the kinds of rows.
        policy: `values`, `shapes` (types and lengths only) or `none`.
    """
    if policy == NONE or not count:
        return []
    by_kind: dict[tuple[str, str], list[Row]] = {}
    for row in _first_rows(folder, parts):
        rows = by_kind.setdefault((collection_of(row.path), row.operation), [])
        if len(rows) < count:
            rows.append(row)
    in_turn = (row for rows in zip_longest(*by_kind.values()) for row in rows if row is not None)
    chosen = sorted(islice(in_turn, count), key=lambda row: (collection_of(row.path), row.operation, row.row))
    return [sample(row, policy) for row in chosen]


def sample(row: Row, policy: str) -> Sample:
    """A row as people read it."""
    before = wire.document_of(row.before)
    write = wire.Write.FromString(row.write)
    after = applied(before, write)
    stamps = {transform.field_path for transform in write.update_transforms}
    old = {} if before is None else before.fields
    new = {} if after is None else after.fields
    differences = [
        Difference(
            field,
            _show(one, policy),
            _SERVER_TIME if field in stamps else _show(other, policy),
            _type(one),
            "timestamp" if field in stamps else _type(other),
        )
        for field, one, other in _differing(old, new, ())
    ]
    shown = {difference.field for difference in differences}
    differences += [Difference(field, ABSENT, _SERVER_TIME, "", "timestamp") for field in sorted(stamps - shown)]
    return Sample(row.path, row.operation, tuple(differences))


def _first_rows(folder: Folder, parts: list[Part]) -> Iterator[Row]:
    """The first rows of every plan; a sample is not worth reading a whole one."""
    for part in parts:
        for batch in islice(batches_of(folder, part), _BATCHES_LOOKED_AT):
            yield from batch.content


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, Any | None, Any | None]]:
    for name in sorted({*old, *new}):
        one, other = (fields.get(name) for fields in (old, new))
        if one is not None and other is not None:
            if same(one, other):
                continue
            if one.WhichOneof("value_type") == other.WhichOneof("value_type") == "map_value":
                yield from _differing(one.map_value.fields, other.map_value.fields, (*path, name))
                continue
        yield api_path((*path, name)), one, other


def _show(value: Any | None, policy: str) -> str:
    if value is None:
        return ABSENT
    if policy == SHAPES:
        return _shape(value)
    decoded = decode(value, _Reference)
    text = decoded.isoformat() if hasattr(decoded, "isoformat") else repr(decoded)
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _type(value: Any | None) -> str:
    """Firestore's name of a value's type."""
    return "" if value is None else str(value.WhichOneof("value_type")).removesuffix("_value")


def _shape(value: Any) -> str:
    """The type of a value, and how long it is where it has a length."""
    kind = _type(value)
    if kind in ("string", "bytes"):
        return f"{kind}({len(getattr(value, kind + '_value'))})"
    if kind == "array":
        return f"array({len(value.array_value.values)})"
    if kind == "map":
        return "map{" + ", ".join(sorted(value.map_value.fields)) + "}"
    return kind


class _Reference:
    def __init__(self, name: str) -> None:
        self._path = name.split("/documents/", 1)[-1]

    def __repr__(self) -> str:
        return f"→{self._path}"

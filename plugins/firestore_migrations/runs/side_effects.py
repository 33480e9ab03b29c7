"""Side effects: what a plan would bring about besides the writes, said before it is applied.

A document that a time-to-live policy deletes, functions that each write triggers, documents that come near a limit, an
index that all writes queue up at. They are looked for in the rows as they are planned: a row costs two comparisons of
lengths, and is decoded only where it is large, near a policy, or one of the first few.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from firestore_migrations.errors import DataWouldExpire
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.size import MOST_BYTES
from firestore_migrations.runs.plan import Plan, Row
from firestore_migrations.runs.run import Run

MOST_INDEX_ENTRIES = 40_000
"""Of one document; Firestore refuses more."""
_MANY_INDEX_ENTRIES = 20_000
_NEAR_THE_LIMIT = MOST_BYTES * 8 // 10
_LOOKED_AT = 200
_SHOWN = 3
_SUDDEN = 500
"""Writes a second of neighbouring values from which on one index holds them up."""

LARGE, INDEXED, EXPIRING, STAMPED = "large", "index_entries", "ttl", "stamped"


class SideEffects:
    """Looks at the rows of one shard's plan.

    Args:
        run: whose target says what to look for.
        now: the instant that a document expires before, in microseconds.
    """

    def __init__(self, run: Run, now: int) -> None:
        self._version = run.version
        self._now = now
        self._expiring: dict[str, list[str]] = defaultdict(list)
        for name in run.target.policy.ttl_fields:
            collection, _, field = name.partition(".")
            self._expiring[collection].append(field)
        self._found: Counter[str] = Counter()
        self._paths: dict[str, list[str]] = defaultdict(list)
        self._seen = 0

    def see(self, row: Row) -> None:
        """Look at one row.

        Raises:
            DataWouldExpire: a time-to-live policy would delete the document.
        """
        self._seen += 1
        size = len(row.before or b"") + len(row.write)
        if size > _MANY_INDEX_ENTRIES:
            self._see_large(row, size)
        ttl_fields = self._expiring.get(row.path.rsplit("/", 2)[-2]) if self._expiring else None
        if ttl_fields or self._seen <= _LOOKED_AT:
            write = wire.Write.FromString(row.write)
            self._see_ttl(row, write, ttl_fields or ())
            if self._seen <= _LOOKED_AT:
                self._found.update(f"{STAMPED} {field}" for field in self._stamped(write))

    def found(self) -> dict[str, Any]:
        """What was found, plain data: how many documents by kind, the first paths, and how many rows were sampled."""
        return {"counts": dict(self._found), "paths": dict(self._paths), "sampled": min(self._seen, _LOOKED_AT)}

    def _note(self, kind: str, path: str) -> None:
        self._found[kind] += 1
        if len(self._paths[kind]) < _SHOWN:
            self._paths[kind].append(path)

    def _see_large(self, row: Row, size: int) -> None:
        if row.operation == "deleted":
            return
        if size > _NEAR_THE_LIMIT:
            self._note(LARGE, row.path)
        before = wire.Document.FromString(row.before or b"")
        after = {**before.fields, **wire.Write.FromString(row.write).update.fields}
        if sum(map(_entries, after.values())) > _MANY_INDEX_ENTRIES:
            self._note(INDEXED, row.path)

    def _see_ttl(self, row: Row, write: Any, fields: Iterable[str]) -> None:
        stamped = _stamped_by_server(write)
        for field in fields:
            value = filters.find(tuple(field.split(".")), write.update.fields)
            if value is None and field not in stamped:
                continue
            self._note(f"{EXPIRING} {field}", row.path)
            if value is None or self._is_past(value):
                raise DataWouldExpire(
                    f"{self._version} sets {field} of {row.path} to a time that is past, and a time-to-live policy "
                    "deletes such documents.",
                    f"Nothing was written. Leave {field} as it is, or set it to a later time.",
                    path=row.path,
                    field=field,
                )

    def _is_past(self, value: Any) -> bool:
        return value.WhichOneof("value_type") == "timestamp_value" and wire.micros(value.timestamp_value) <= self._now

    def _stamped(self, write: Any) -> list[str]:
        """Top-level fields that get the time of the commit, or the instant of the run: neighbours in an index."""
        same = [
            name
            for name, value in write.update.fields.items()
            if value.WhichOneof("value_type") == "timestamp_value" and wire.micros(value.timestamp_value) == self._now
        ]
        return _stamped_by_server(write) + same


def _stamped_by_server(write: Any) -> list[str]:
    """The fields that get the time of the commit, which is past as soon as they have it."""
    return [transform.field_path for transform in write.update_transforms if transform.set_to_server_value]


def warnings_of(run: Run, plans: Iterable[Plan]) -> list[str]:
    """What a person should know before applying these plans; sentences without values."""
    counts: Counter[str] = Counter()
    paths: dict[str, list[str]] = defaultdict(list)
    written: Counter[str] = Counter()
    sampled = 0
    for plan in plans:
        counts.update(plan.side_effects.get("counts", {}))
        sampled += plan.side_effects.get("sampled", 0)
        for kind, some in plan.side_effects.get("paths", {}).items():
            paths[kind] += some
        for collection, operations in plan.collections.items():
            written[collection] += sum(operations.values())
    return [
        *_of_triggers(run, written),
        *_of_documents(counts, paths),
        *_of_stamps(run, counts, sampled, sum(written.values())),
    ]


def _of_triggers(run: Run, written: Mapping[str, int]) -> list[str]:
    triggers = {_pattern(name) for name in run.target.policy.triggers}
    return [
        f"Functions are triggered by `{collection}`: {count:,} writes, so up to {count:,} calls."
        for collection, count in sorted(written.items())
        if collection in triggers or collection.rsplit("/", 1)[-1] in triggers
    ]


def _pattern(name: str) -> str:
    """A collection as a plan names it: ids of documents are `*`."""
    return "/".join("*" if index % 2 else segment for index, segment in enumerate(name.split("/")))


def _of_documents(counts: Mapping[str, int], paths: Mapping[str, list[str]]) -> list[str]:
    said = []
    for kind, count in sorted(counts.items()):
        some = ", ".join(paths.get(kind, [])[:_SHOWN])
        if kind == LARGE:
            said.append(f"{count:,} documents come near Firestore's limit of 1 MiB: {some}.")
        elif kind == INDEXED:
            limits = f"more than {_MANY_INDEX_ENTRIES:,} index entries, of {MOST_INDEX_ENTRIES:,} that Firestore takes"
            said.append(f"{count:,} documents would have {limits}: {some}.")
        elif kind.startswith(EXPIRING):
            field = kind.partition(" ")[2]
            said.append(f"`{field}` has a time-to-live policy, and changes in {count:,} documents: {some}.")
    return said


def _of_stamps(run: Run, counts: Mapping[str, int], sampled: int, rows: int) -> list[str]:
    """A field that every write sets to nearly the same value makes its index the slowest part of a fast run."""
    limit = run.writes_per_second
    if rows <= _SUDDEN or (limit is not None and 0 < limit <= _SUDDEN):
        return []
    return [
        f"`{kind.partition(' ')[2]}` gets neighbouring values in nearly every document: its index takes about "
        f"{_SUDDEN} writes a second. Set max_writes_per_second to that, or exempt the field from indexing."
        for kind, count in sorted(counts.items())
        if kind.startswith(STAMPED) and count * 2 > sampled
    ]


def _entries(value: Any) -> int:
    """About how many entries a value has in the automatic indexes: two of a value, one of each member of an array."""
    kind = value.WhichOneof("value_type")
    if kind == "map_value":
        return sum(map(_entries, value.map_value.fields.values()))
    return 2 + (len(value.array_value.values) if kind == "array_value" else 0)

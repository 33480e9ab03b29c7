"""Side effects: what a plan would bring about besides the writes, said before it is applied.

A document that a time-to-live policy deletes, functions that each write triggers, documents that come near a limit, an
index that all writes queue up at. They are looked for in the rows as they are planned: a row costs two comparisons of
lengths, and is decoded only where it is large, near a policy, or one of the first few.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.size import MOST_BYTES
from firestore_migrations.runs.expiry import Expiry, stamped_by_server
from firestore_migrations.runs.plan import Plan, Row
from firestore_migrations.runs.run import Run

MOST_INDEX_ENTRIES = 40_000
"""Of one document; Firestore refuses more."""
_MANY_INDEX_ENTRIES = 20_000
_BYTES_OF_MANY = 4 * _MANY_INDEX_ENTRIES
"""On the wire, at least: a member of an array takes four bytes and has one entry."""
_NEAR_THE_LIMIT = MOST_BYTES * 8 // 10
_LOOKED_AT = 200
_SHOWN = 3
_SUDDEN = 500
"""Writes a second of neighbouring values from which on one index holds them up."""

LARGE, INDEXED, EXPIRING, STAMPED = "large", "index_entries", "ttl", "stamped"


class SideEffects:
    """Looks at the rows of one shard's plan.

    Args:
        expiry: what the time-to-live policies of the target would do.
        now: the instant of the run, in microseconds since 1970.
    """

    def __init__(self, expiry: Expiry, now: int) -> None:
        self._expiry = expiry
        self._now = now
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
        if size > _BYTES_OF_MANY:
            self._see_large(row, size)
        for field in self._expiry.see(row):
            self._note(f"{EXPIRING} {field}", row.path)
        if self._seen <= _LOOKED_AT:
            self._found.update(f"{STAMPED} {field}" for field in self._stamped(wire.Write.FromString(row.write)))

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

    def _stamped(self, write: Any) -> list[str]:
        """Top-level fields that get the time of the commit, or the instant of the run: neighbours in an index."""
        same = [
            name
            for name, value in write.update.fields.items()
            if value.WhichOneof("value_type") == "timestamp_value" and wire.micros(value.timestamp_value) == self._now
        ]
        return stamped_by_server(write) + same


def warnings_of(run: Run, plans: Iterable[Plan], unknown_policies: str) -> list[str]:
    """What a person should know before applying these plans; sentences without values.

    Args:
        run: whose plans.
        plans: of its shards.
        unknown_policies: why the Admin API did not tell the time-to-live policies; empty where it did.
    """
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
        *_of_policies(unknown_policies),
        *_of_triggers(run, written),
        *_of_documents(counts, paths),
        *_of_stamps(run, counts, sampled, sum(written.values())),
    ]


def _of_policies(fault: str) -> list[str]:
    told = (
        f"The time-to-live policies could not be read ({fault}), so only those in the connection's `ttl_fields` were "
        "looked at: grant its identity `datastore.indexes.list` (roles/datastore.viewer has it)."
    )
    return [told] if fault else []


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

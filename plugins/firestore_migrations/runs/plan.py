"""The plan: the exact writes that a migration makes of a snapshot, with before-images and a digest.

A row is one write of one document. A row group of the files is one batch: the rows of one commit, never cut differently
afterwards, whoever resumes the run.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from firestore_migrations.errors import StorageError
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import Change
from firestore_migrations.runs.segments import Segment, SegmentWriter, read_groups, segment_name
from firestore_migrations.runs.storage import Folder

Call = tuple[str, str]
"""A step, and the document that it was called with."""

MOST_WRITES = 499  # and the audit record makes 500, the most that a commit has always been allowed
NO_ROWS = "none"
"""Stands for the rows of a batch of which nothing was left to write."""
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("step", pa.string()),
        ("operation", pa.string()),
        ("update_time", pa.timestamp("us", tz="UTC")),
        ("before", pa.binary()),
        ("write", pa.binary()),
        ("source_time", pa.timestamp("us", tz="UTC")),
    ]
)
_TIMES = frozenset({"update_time", "source_time"})


class Row(NamedTuple):
    """One planned write.

    Attributes:
        row: its number in the plan of its shard.
        path: the document that it writes.
        source: the document that the step was called with; empty for a script.
        step: the step's name.
        operation: `created`, `updated` or `deleted`.
        update_time: of the document that it was planned from, in microseconds; None where it was missing.
        before: that document, raw; None where it was missing.
        write: the serialised `Write`, precondition included.
        source_time: the update time of `source` when it was planned, in microseconds; None for a script.
    """

    row: int
    path: str
    source: str
    step: str
    operation: str
    update_time: int | None
    before: bytes | None
    write: bytes
    source_time: int | None = None

    @property
    def call(self) -> Call:
        """What the row belongs to; in a script every row stands for itself."""
        return (self.step, self.source or self.path)


def row_of(  # noqa: PLR0913 -- a row is all of it
    source: str,
    step: str,
    path: str,
    stored: Any,
    change: Change,
    before: bytes | None = None,
    source_time: int | None = None,
) -> Row:
    """The row of a change of the stored document at `path`; `before` is that document where it is at hand raw."""
    return Row(
        row=0,
        path=path,
        source=source,
        step=step,
        operation=change.operation,
        update_time=None if stored is None else wire.micros(stored.update_time),
        before=before if before is not None or stored is None else stored.SerializeToString(deterministic=True),
        write=change.write,
        source_time=source_time,
    )


class Batch(NamedTuple):
    """The rows of one commit; `rows` names it: first and last row of the whole run."""

    rows: str
    content: list[Row]

    @property
    def first(self) -> int:
        """The number, in the whole run, of its first row."""
        return int(self.rows.partition("-")[0])

    def parts(self, names: Iterable[str]) -> Iterator[Batch]:
        """The batches that it was split into."""
        offset = self.first - self.content[0].row
        for name in names:
            first, last = map(int, name.split("-"))
            yield Batch(name, [row for row in self.content if first <= offset + row.row <= last])

    def cut(self, most_rows: int, alone: AbstractSet[Call] = frozenset()) -> tuple[str, ...]:
        """The names of parts that it may be split into: no call is torn apart.

        Args:
            most_rows: of one part, unless one call has more.
            alone: calls that become a part each.
        """
        offset = self.first - self.content[0].row
        parts: list[list[Row]] = []
        for call, group in groupby(self.content, key=lambda row: row.call):
            rows = list(group)
            if not parts or len(parts[-1]) + len(rows) > most_rows or {call, parts[-1][-1].call} & alone:
                parts.append([])
            parts[-1] += rows
        return tuple(rows_name(offset + part[0].row, offset + part[-1].row) for part in parts)


@dataclass(frozen=True)
class Plan:
    """What a shard's plan holds.

    Attributes:
        scanned: documents that the steps were called with.
        unchanged: those that led to no write.
        operations: rows by operation.
        collections: rows by collection, ids of documents replaced by `*`, and operation.
        rows: all of them.
        batches: into which they are cut.
        reads: documents read while planning, besides the snapshot.
        pins: documents that are only read, and must be as they were when the rows made of them are written.
        digest: SHA-256 over path, operation and write of every row.
        others: rows that write another document than the step was called with.
        gone: rows that delete the document that the step was called with.
        left: rows after which that document is there, and passes the scope's filters no more.
        born: documents that a step adds to its own scope.
        knows_others: whether a call of a step has looked at, or written, another document than its own.
        depends_on_others: whether a call of a step that has rows may depend on a document that it neither was made with
            nor writes.
        checksum: of the migration that made it.
        failures: documents that could not be planned: path, step, error.
        side_effects: what the writes would bring about besides, as `SideEffects.found` gives it.
        segments: the files, in order.
    """

    scanned: int = 0
    unchanged: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    collections: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0
    reads: int = 0
    pins: int = 0
    digest: str = ""
    others: int = 0
    gone: int = 0
    left: int = 0
    born: int = 0
    knows_others: bool = True
    depends_on_others: bool = True
    checksum: str = ""
    failures: tuple[tuple[str, str, str], ...] = ()
    side_effects: dict[str, Any] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Plan:
        """The plan that was written as JSON, also by an older release, which only said whether there are others."""
        data = dict(data)
        if data.pop("writes_others", False):
            data["others"] = data["rows"]
        return cls(
            **{
                **data,
                "failures": tuple(map(tuple, data["failures"])),
                "segments": tuple(Segment(*segment) for segment in data["segments"]),
            }
        )


def collections_of(plans: Iterable[Plan]) -> dict[str, dict[str, int]]:
    """Rows by collection, in order, and operation, of several plans together."""
    totals: dict[str, Counter[str]] = {}
    for plan in plans:
        for name, counts in plan.collections.items():
            totals.setdefault(name, Counter()).update(counts)
    return {name: dict(counts) for name, counts in sorted(totals.items())}


def pins(rows: Sequence[Row]) -> dict[str, int]:
    """The documents that calls only read, and the update times that they must still have when the rows are written.

    What a step makes of a document for another one is wrong once that document has changed, or is gone.
    """
    if not [row for row in rows if row.path != row.source]:
        return {}
    own: set[Call] = set()
    written: set[str] = set()
    others: list[tuple[Row, int]] = []
    for row in rows:
        written.add(row.path)
        if row.path == row.source:
            own.add(row.call)
        elif row.source_time is not None:
            others.append((row, row.source_time))
    return {row.source: time for row, time in others if row.call not in own and row.source not in written}


def find_plan(folder: Folder) -> Plan | None:
    """The plan in a folder, or None where none was completed."""
    return Plan.of(folder.read_json("plan.json")) if folder.has("plan.json") else None


def read_batches(folder: Folder, plan: Plan, first_row: int = 0) -> Iterator[Batch]:
    """Yield a plan's batches in order.

    Args:
        folder: the plan's.
        plan: what it holds.
        first_row: the number, in the whole run, of the plan's first row.

    Raises:
        StorageError: a segment is missing, truncated or altered.
    """
    for group in read_groups(folder, plan.segments):
        rows = rows_of(group)
        yield Batch(rows_name(first_row + rows[0].row, first_row + rows[-1].row), rows)


def write_rows(folder: Folder, rows: Sequence[Row]) -> str:
    """Keep rows that were planned anew while applying; the name that is returned tells their contents too."""
    if not rows:
        return NO_ROWS
    digest = hashlib.sha256(b"".join(row.write for row in rows)).hexdigest()[:16]
    writer = SegmentWriter(folder / digest, SCHEMA)
    writer.add(zip(*rows, strict=True))
    (segment,) = writer.close()
    return f"{digest}:{segment.sha256}"


def read_rows(folder: Folder, name: str) -> list[Row]:
    """The rows that were kept under a name, checked against it."""
    if name == NO_ROWS:
        return []
    digest, _, sha256 = name.partition(":")
    if not sha256:
        raise StorageError(f"{name!r} does not name kept rows.", "The audit was altered by hand; restore it.")
    (group,) = read_groups(folder / digest, [Segment(segment_name(0, sha256), 0, 0, sha256)])
    return rows_of(group)


def rows_of(group: pa.Table) -> list[Row]:
    """The rows of a row group, or of a part of it."""
    return list(map(Row, *_columns(group)))


def rows_name(first: int, last: int) -> str:
    """The name of a batch: its first and last row, so that names sort like rows."""
    return f"{row_name(first)}-{row_name(last)}"


def row_name(row: int) -> str:
    """What the names of batches begin with whose first row it is."""
    return f"{row:09d}"


def collection_of(path: str) -> str:
    """The collection of a document, the ids of parent documents replaced by `*`."""
    collection, _, _ = path.rpartition("/")
    if "/" not in collection:
        return collection
    return "/".join("*" if index % 2 else segment for index, segment in enumerate(collection.split("/")))


def _columns(group: pa.Table) -> Iterable[list[Any]]:
    for name in SCHEMA.names:
        column = group[name]
        yield (column.cast(pa.int64()) if name in _TIMES else column).to_pylist()

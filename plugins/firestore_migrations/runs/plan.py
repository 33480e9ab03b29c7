"""The plan: the exact writes that a migration makes of a snapshot, with before-images and a digest.

A row is one write of one document. A row group of the files is one batch: the rows of one commit, never cut differently
afterwards, whoever resumes the run.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from firestore_migrations.errors import StorageError
from firestore_migrations.runs.segments import Segment, SegmentWriter, read_groups
from firestore_migrations.runs.storage import Folder

_BYTES_FOR_RECORD = 64 * 1024
NO_ROWS = "none"
"""Stands for the rows of a batch of which nothing was left to write."""
_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("step", pa.string()),
        ("operation", pa.string()),
        ("update_time", pa.timestamp("us", tz="UTC")),
        ("before", pa.binary()),
        ("write", pa.binary()),
    ]
)


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
    """

    row: int
    path: str
    source: str
    step: str
    operation: str
    update_time: int | None
    before: bytes | None
    write: bytes


class Batch(NamedTuple):
    """The rows of one commit; `rows` names it: first and last row of the whole run."""

    rows: str
    content: list[Row]


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
        digest: SHA-256 over path, operation and write of every row.
        writes_others: whether a row writes another document than the step was called with.
        checksum: of the migration that made it.
        failures: documents that could not be planned: path, step, error.
        segments: the files, in order.
    """

    scanned: int = 0
    unchanged: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    collections: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0
    reads: int = 0
    digest: str = ""
    writes_others: bool = False
    checksum: str = ""
    failures: tuple[tuple[str, str, str], ...] = ()
    segments: tuple[Segment, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Plan:
        """The plan that was written as JSON."""
        return cls(
            **{
                **data,
                "failures": tuple(map(tuple, data["failures"])),
                "segments": tuple(Segment(*segment) for segment in data["segments"]),
            }
        )


class PlanWriter:
    """Writes rows as they are planned, cut into batches.

    Args:
        folder: where to.
        rows_per_batch: rows of one commit, at most.
        request_limit: bytes of one request, at most.
    """

    def __init__(self, folder: Folder, rows_per_batch: int, request_limit: int) -> None:
        self._folder = folder
        self._segments = SegmentWriter(folder, _SCHEMA)
        self._most_rows = rows_per_batch
        self._most_bytes = request_limit - _BYTES_FOR_RECORD
        self._call: list[Row] = []
        self._batch: list[Row] = []
        self._batch_bytes = 0
        self._digest = hashlib.sha256()
        self._operations: Counter[str] = Counter()
        self._collections: dict[str, Counter[str]] = {}
        self._writes_others = False
        self._next = self._batches = 0

    def add(self, row: Row) -> None:
        """Add a row. The rows of one call of a step follow each other, and are written in one commit if they fit."""
        if self._call and (not row.source or (row.step, row.source) != (self._call[0].step, self._call[0].source)):
            self._add_call()
        self._call.append(row)

    def _add_call(self) -> None:
        size = sum(len(row.write) + 8 for row in self._call)
        if len(self._batch) + len(self._call) > self._most_rows or self._batch_bytes + size > self._most_bytes:
            self._cut()
        for row in self._call:
            self._add_row(row)
        self._call = []

    def _add_row(self, row: Row) -> None:
        size = len(row.write) + 8
        if len(self._batch) == self._most_rows or self._batch_bytes + size > self._most_bytes:
            self._cut()
        self._batch.append(row._replace(row=self._next))
        self._batch_bytes += size
        self._next += 1
        self._digest.update(b"%s\0%s\0%d\0" % (row.path.encode(), row.operation.encode(), len(row.write)))
        self._digest.update(row.write)
        self._operations[row.operation] += 1
        self._collections.setdefault(collection_of(row.path), Counter())[row.operation] += 1
        self._writes_others = self._writes_others or row.path != row.source

    def close(self, **facts: Any) -> Plan:
        """Write what is left, then what the plan holds; without that last file there is no plan."""
        self._add_call()
        self._cut()
        plan = Plan(
            operations=dict(self._operations),
            collections={name: dict(counts) for name, counts in sorted(self._collections.items())},
            rows=self._next,
            batches=self._batches,
            digest=self._digest.hexdigest(),
            writes_others=self._writes_others,
            segments=tuple(self._segments.close()),
            **facts,
        )
        self._folder.write_json("plan.json", asdict(plan))
        return plan

    def _cut(self) -> None:
        self._segments.add(self._batch)
        self._batches += bool(self._batch)
        self._batch = []
        self._batch_bytes = 0


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
        rows = list(map(Row, *_columns(group)))
        yield Batch(rows_name(first_row + rows[0].row, first_row + rows[-1].row), rows)


def write_rows(folder: Folder, rows: Sequence[Row]) -> str:
    """Keep rows that were planned anew while applying; the name that is returned tells their contents too."""
    if not rows:
        return NO_ROWS
    digest = hashlib.sha256(b"".join(row.write for row in rows)).hexdigest()[:16]
    writer = SegmentWriter(folder / digest, _SCHEMA)
    writer.add(rows)
    (segment,) = writer.close()
    return f"{digest}:{segment.sha256}"


def read_rows(folder: Folder, name: str) -> list[Row]:
    """The rows that were kept under a name, checked against it."""
    if name == NO_ROWS:
        return []
    digest, _, sha256 = name.partition(":")
    if not sha256:
        raise StorageError(f"{name!r} does not name kept rows.", "The audit was altered by hand; restore it.")
    (group,) = read_groups(folder / digest, [Segment("000000.parquet", 0, 0, sha256)])
    return list(map(Row, *_columns(group)))


def rows_name(first: int, last: int) -> str:
    """The name of a batch: its first and last row, so that names sort like rows."""
    return f"{first:09d}-{last:09d}"


def collection_of(path: str) -> str:
    """The collection of a document, the ids of parent documents replaced by `*`."""
    segments = path.split("/")[:-1]
    return "/".join("*" if index % 2 else segment for index, segment in enumerate(segments))


def _columns(group: pa.Table) -> Iterable[list[Any]]:
    for name in _SCHEMA.names:
        column = group[name]
        yield (column.cast(pa.int64()) if name == "update_time" else column).to_pylist()

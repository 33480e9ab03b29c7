"""The snapshot: the documents of a scope, raw, at one read time, in storage."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pyarrow as pa

from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs.run import is_spot_checked
from firestore_migrations.runs.segments import Segment, SegmentWriter, read_groups
from firestore_migrations.runs.storage import Folder

Item = TypeVar("Item")
ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("create_time", pa.timestamp("us", tz="UTC")),
        ("update_time", pa.timestamp("us", tz="UTC")),
        ("document", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Snapshot:
    """What a shard's snapshot holds.

    Attributes:
        documents: how many.
        bytes: of the raw documents together.
        digest: SHA-256 over paths and update times, which pin the contents.
        segments: the files, in the order of names.
        read_time: of the documents, in microseconds since 1970; 0 where it is not known.
        reads: documents that were read for it: also those that a filter or a rollout left out.
        spots: how many of the documents verify reads whole, whatever their times tell.
    """

    documents: int
    bytes: int
    digest: str
    segments: tuple[Segment, ...]
    read_time: int = 0
    reads: int = 0
    spots: int = 0

    @classmethod
    def of(cls, data: dict[str, Any]) -> Snapshot:
        """The snapshot that was written as JSON."""
        return cls(**{**data, "segments": tuple(Segment(*segment) for segment in data["segments"])})


def take_snapshot(
    folder: Folder, documents: Iterable[Stored], read_time: int = 0, reads: Callable[[], int] | None = None
) -> Snapshot:
    """Write documents as they come, and beside them, last, what was written.

    Safe to run again: without that last file there is no snapshot, and the files are overwritten.

    Args:
        folder: where.
        documents: which.
        read_time: of them, in microseconds since 1970.
        reads: asked in the end how many documents were read for it; by default, these.
    """
    writer = SegmentWriter(folder, _SCHEMA)
    digest = hashlib.sha256()
    count = size = spots = 0
    for rows in portions(documents, lambda stored: len(stored.raw)):
        writer.add(zip(*rows, strict=True))
        count += len(rows)
        size += sum(len(stored.raw) for stored in rows)
        for stored in rows:
            digest.update(b"%s\0%d\0" % (stored.path.encode(), stored.update_time))
            spots += is_spot_checked(stored.path)
    segments = tuple(writer.close())
    read = count if reads is None else reads()
    snapshot = Snapshot(count, size, digest.hexdigest(), segments, read_time, read, spots)
    folder.write_json("snapshot.json", asdict(snapshot))
    return snapshot


def portions(items: Iterable[Item], size: Callable[[Item], int] = lambda _: 0) -> Iterator[list[Item]]:
    """Some hundred items at once, or as many as make some megabytes: memory holds no more, whatever their size."""
    some: list[Item] = []
    total = 0
    for item in items:
        some.append(item)
        total += size(item)
        if len(some) == ROWS_AT_ONCE or total >= _BYTES_AT_ONCE:
            yield some
            some, total = [], 0
    if some:
        yield some


def find_snapshot(folder: Folder) -> Snapshot | None:
    """The snapshot in a folder, or None where none was completed."""
    return Snapshot.of(folder.read_json("snapshot.json")) if folder.has("snapshot.json") else None


def read_snapshot(folder: Folder, snapshot: Snapshot) -> Iterator[list[Stored]]:
    """Yield the documents, some hundred at once, in the order of names.

    Raises:
        StorageError: a segment is missing, truncated or altered.
    """
    for group in read_groups(folder, snapshot.segments):
        created, updated = (group[name].cast(pa.int64()).to_pylist() for name in ("create_time", "update_time"))
        paths, documents = group["path"].to_pylist(), group["document"].to_pylist()
        yield list(map(Stored, paths, created, updated, documents))

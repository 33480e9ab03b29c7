"""Writing a plan: rows as they are planned, cut into batches, each a row group of the files."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from operator import eq
from typing import Any

from firestore_migrations.firestore.change import DELETED
from firestore_migrations.runs.failure import TOO_LARGE, Failure
from firestore_migrations.runs.plan import MOST_WRITES, SCHEMA, Call, Plan, Row, collection_of, pins
from firestore_migrations.runs.segments import SegmentWriter
from firestore_migrations.runs.storage import Folder

_BYTES_FOR_RECORD = 64 * 1024
_PIN_BYTES = 200  # and the name of the document


class PlanWriter:
    """Writes rows as they are planned, cut into batches.

    Args:
        folder: where to.
        rows_per_batch: rows of one commit, at most, unless one call has more; pins come on top of them.
        request_limit: bytes of one request, at most.
    """

    def __init__(self, folder: Folder, rows_per_batch: int, request_limit: int) -> None:
        self._folder = folder
        self._segments = SegmentWriter(folder, SCHEMA)
        self._most_rows = rows_per_batch
        self._most_bytes = request_limit - _BYTES_FOR_RECORD
        self.failures: list[Failure] = []
        self._call: list[Row] = []
        self._call_name: Call | None = None
        self._batch: list[Row] = []
        self._batch_pins = self._batch_bytes = self._pins = 0
        self._digest = hashlib.sha256()
        self._counts: Counter[tuple[str, str]] = Counter()  # by collection and operation
        self._others = self._gone = 0
        self._next = self._batches = 0

    def add(self, row: Row) -> None:
        """Add a row. The rows of one call of a step follow each other, and are written in one commit.

        A call that does not fit into one request is left out, and is among the `failures`.
        """
        call = row.call
        if call != self._call_name:
            self.finish_call()
            self._call_name = call
        self._call.append(row)

    def finish_call(self) -> None:
        """No row of the present call follows any more."""
        rows, self._call = self._call, []
        if not rows:
            return
        pinned = pins(rows)
        size = sum([len(row.write) + 8 for row in rows]) + sum([_PIN_BYTES + len(path) for path in pinned])
        if size > self._most_bytes:
            self.failures.append(_too_large(rows[0], len(rows), size))
            return
        if not self._has_room(len(rows), len(pinned), size):
            self._cut()
        self._batch_pins += len(pinned)
        self._pins += len(pinned)
        self._batch_bytes += size
        self._batch += rows

    def _has_room(self, rows: int, pinned: int, size: int) -> bool:
        rows += len(self._batch)
        is_few = rows <= self._most_rows and rows + self._batch_pins + pinned <= MOST_WRITES
        return is_few and self._batch_bytes + size <= self._most_bytes

    def close(self, **facts: Any) -> Plan:
        """Write what is left, then what the plan holds; without that last file there is no plan."""
        self.finish_call()
        self._cut()
        operations: Counter[str] = Counter()
        collections: dict[str, dict[str, int]] = {}
        for (collection, operation), count in sorted(self._counts.items()):
            operations[operation] += count
            collections.setdefault(collection, {})[operation] = count
        plan = Plan(
            operations=dict(operations),
            collections=collections,
            rows=self._next,
            batches=self._batches,
            pins=self._pins,
            digest=self._digest.hexdigest(),
            others=self._others,
            gone=self._gone,
            segments=tuple(self._segments.close()),
            **facts,
        )
        self._folder.write_json("plan.json", asdict(plan))
        return plan

    def _cut(self) -> None:
        """The rows at hand become a batch, and get their numbers."""
        rows, self._batch = self._batch, []
        self._batch_pins = self._batch_bytes = 0
        if not rows:
            return
        _, *columns = zip(*rows, strict=True)
        paths, sources, _, operations, _, _, writes, _ = columns
        self._segments.add([range(self._next, self._next + len(rows)), *columns])
        self._batches += 1
        self._next += len(rows)
        for path, operation, write in zip(paths, operations, writes, strict=True):
            self._digest.update(b"%s\0%s\0%d\0%s" % (path.encode(), operation.encode(), len(write), write))
        self._counts.update(zip(map(collection_of, paths), operations, strict=True))
        kinds = Counter(zip(map(eq, paths, sources), operations, strict=True))
        self._others += sum(count for (is_own, _), count in kinds.items() if not is_own)
        self._gone += kinds[True, DELETED]


def _too_large(row: Row, rows: int, size: int) -> Failure:
    error = f"{TOO_LARGE}: its {rows} writes are {size:,} bytes, more than one request; they would not be atomic"
    return Failure(row.source or row.path, row.step, error)

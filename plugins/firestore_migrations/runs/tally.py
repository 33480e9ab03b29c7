"""The tally: what a run has committed so far. A watcher reads each record of a batch once, however long it looks on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.run import instant

_RECENTLY = 10.0  # seconds: what the rate is of
_MOST_RECORDS = 5_000  # read at once; a watcher that comes late catches up
_OVERLAP = timedelta(seconds=5)  # a commit may be seen a moment after one that has a later stamp
_MOST_POINTS = 120


@dataclass
class Tally:
    """What the records of a run's batches add up to.

    Attributes:
        count: of the records.
        batches: that were committed; those that were split or sealed wrote nothing.
        unplanned: how many more these will be than the reviewed plan has: parts of split ones, and residue.
        documents: rows of the plan that they are through with, whatever became of them.
        writes: documents that were written; `deleted` of them.
        drifted: rows that were planned again.
        pins: documents that were only looked at.
        reads: documents that were read again.
        unread: records that were not read yet; the rest is too low by them.
    """

    count: int = 0
    batches: int = 0
    unplanned: int = 0
    documents: int = 0
    writes: int = 0
    deleted: int = 0
    drifted: int = 0
    pins: int = 0
    reads: int = 0
    unread: int = 0
    _last: datetime | None = None
    _by_second: Counter[int] = field(default_factory=Counter)
    _recent: dict[str, datetime] = field(default_factory=dict)

    def read(self, ledger: Ledger, path: str) -> None:
        """Read what was committed since the last time."""
        since = instant(0) if self._last is None else self._last - _OVERLAP
        most = _MOST_RECORDS + len(self._recent)  # these are read again
        found = list(ledger.entries_since(path, "stamped_at", since, most))
        for name, entry in found:
            if name not in self._recent:
                self._add(BatchRecord.of(name, entry))
            self._recent[name] = entry.data["stamped_at"]
            self._last = max(entry.data["stamped_at"], self._last or entry.data["stamped_at"])
        if self._last is not None:
            self._recent = {name: at for name, at in self._recent.items() if at >= self._last - _OVERLAP}
        self.unread = max(0, ledger.count(path) - self.count) if len(found) == most else 0

    def _add(self, record: BatchRecord) -> None:
        self.count += 1
        if record.split and not record.plan:
            self.unplanned += len(record.split) - 1
        if record.split or record.sealed_by:
            return
        self.batches += 1
        self.unplanned += bool(record.plan)
        first, last = map(int, record.rows.split("-"))
        self.documents += last - first + 1
        self._by_second[record.stamped_at // 1_000_000] += last - first + 1
        self.writes += record.writes
        self.deleted += record.deleted
        self.drifted += record.drifted
        self.pins += record.pins
        self.reads += record.reads

    def usage(self) -> Usage:
        """What the batches have used."""
        return Usage(self.reads, self.writes - self.deleted + self.pins + self.count, self.deleted)

    def rate(self, now: int) -> float:
        """Documents a second of the last seconds."""
        first = min(self._by_second, default=0)
        span = min(_RECENTLY, max(1.0, now / 1_000_000 - first))
        since = now / 1_000_000 - span
        return sum(documents for second, documents in self._by_second.items() if second >= since) / span

    def series(self) -> tuple[tuple[float, float], ...]:
        """The rate over time, in steps as wide as a picture needs."""
        if not self._by_second:
            return ()
        first, last = min(self._by_second), max(self._by_second)
        width = -(-(last - first + 1) // _MOST_POINTS)
        steps: Counter[int] = Counter()
        for second, documents in self._by_second.items():
            steps[(second - first) // width] += documents
        return tuple((step * width, steps[step] / width) for step in range((last - first) // width + 1))

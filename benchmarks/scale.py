"""A hundred million documents on a hundred workers: what the numbers say, and a simulation that checks them.

Nobody has such a database at hand. So the time of `apply` is computed from the 500/50/5 rule, and beside it simulated
event by event: workers that hold themselves back by our own `Ramp`, each with as many commits under way as a worker
has, against a server whose answers take as long as is assumed here, and which refuses more operations than the rule
allows. The other phases are divisions of what one worker was measured to do, or is assumed to get.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.ramp import Ramp, allowed_rate
from firestore_migrations.firestore.size import size_of
from firestore_migrations.firestore.values import encode_fields
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.plan import MOST_WRITES, rows_name
from firestore_migrations.runs.pressure import FLIGHTS
from firestore_migrations.runs.price import Prices, Usage
from firestore_migrations.runs.turns import STREAMS

# Assumed of the server, in seconds: the medians of a small read and of a commit, and what each write adds to that.
_READ, _COMMIT, _WRITE = 0.02, 0.15, 0.0005
_SPREAD = 0.4  # the sigma of the lognormal that they vary by
_STREAMED = 5_000  # documents a second of one stream, assumed
_PLANNED = 10_000  # documents a second that one worker plans, measured and rounded down
_VERIFIED = 30_000  # documents a second that verify can look at, measured: 31 microseconds of CPU each
_STEP = 300.0
_READ_WHOLE_ANYWAY = 0.01  # of the documents that verify could tell by their names


class Server:
    """Takes commits as fast as they come, as long as they keep to the rule.

    Attributes:
        operations: that it got.
        nearest: how near these ever came to what was allowed by then; 1 is all of it.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._earned = self._at = 0.0
        self.operations = 0
        self.nearest = 0.0

    def take(self, at: float, operations: int) -> None:
        """Get a commit at a time; times only grow.

        Raises:
            SystemExit: it is more than the rule allows by then.
        """
        while self._at < at:
            until = min(at, (self._at // _STEP + 1) * _STEP)
            self._earned += (until - self._at) * allowed_rate(self._at)
            self._at = until
        self.operations += operations
        self.nearest = max(self.nearest, self.operations / max(self._earned, 1.0))
        if self.nearest > 1.000001:
            raise SystemExit(f"{self.operations:,} operations after {at:.1f} s; {self._earned:,.0f} are allowed")

    def seconds(self, median: float) -> float:
        """How long one answer takes."""
        return self._random.lognormvariate(0, _SPREAD) * median


class Clock:
    """The time of a simulation, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        """What it is now."""
        return self.now


class Applied(NamedTuple):
    """What a simulated apply came to."""

    seconds: float
    operations: int
    nearest: float


def simulate(documents: int, workers: int, seed: int = 1) -> Applied:
    """Apply so many documents with so many workers, in virtual time."""
    clock, server = Clock(), Server(seed)
    flights = []
    for worker in range(workers):
        ramp = Ramp(None, 0.0, clock)
        ramp.share = 1 / workers
        batches = _batches(documents // workers + (worker < documents % workers))
        flights += [_flight(server, ramp, batches, clock) for _ in range(FLIGHTS)]
    events = [(0.0, number) for number in range(len(flights))]
    while events:
        clock.now, number = heapq.heappop(events)
        wait = next(flights[number], None)
        if wait is not None:
            heapq.heappush(events, (clock.now + wait, number))
    return Applied(clock.now, server.operations, server.nearest)


def _flight(server: Server, ramp: Ramp, batches: Iterator[int], clock: Clock) -> Iterator[float]:
    """One of a worker's commits under way after the other; yields the seconds until it goes on."""
    for operations in batches:
        yield server.seconds(_READ)  # whether the run may still write
        yield max(0.0, ramp.reserve(operations) - clock.now)
        server.take(clock.now, operations)
        yield server.seconds(_COMMIT + _WRITE * operations)


def _batches(documents: int) -> Iterator[int]:
    """The operations of each commit: its writes, and its record."""
    for first in range(0, documents, MOST_WRITES):
        yield min(MOST_WRITES, documents - first) + 1


def model(documents: int, workers: int) -> dict[str, float]:
    """Seconds of each phase, on paper."""
    each = documents / workers
    return {
        "backup": each / _STREAMED,
        "dry_run": each / _PLANNED,
        "apply": _seconds_of_applying(documents, workers),
        "verify": documents / min(STREAMS * _STREAMED, _VERIFIED),
    }


def _seconds_of_applying(documents: int, workers: int) -> float:
    """How long it takes at the rate that the rule allows, or that the workers reach, whichever is less."""
    mean = math.exp(_SPREAD**2 / 2)  # of a lognormal, in medians
    a_batch = (_READ + _COMMIT + _WRITE * (MOST_WRITES + 1)) * mean
    reached = workers * FLIGHTS * (MOST_WRITES + 1) / a_batch
    left, at = float(documents + -(-documents // MOST_WRITES)), 0.0
    while (rate := min(reached, allowed_rate(at))) * _STEP < left:
        left -= rate * _STEP
        at += _STEP
    return at + left / rate


def usage(documents: int) -> Usage:
    """What it reads and writes: backup, verify and a hundredth again; before a commit two documents; and records."""
    batches = -(-documents // MOST_WRITES)
    records_read = 3 * batches  # by apply, verify and finish
    reads = int(documents * (2 + _READ_WHOLE_ANYWAY)) + 2 * batches + records_read
    return Usage(reads, documents + batches, 0)


def record_bytes() -> int:
    """What the record of one batch takes in Firestore, its indexes aside."""
    record = BatchRecord(
        rows_name(99_000_000, 99_000_498), 99, writes=MOST_WRITES, updated=MOST_WRITES, documents=MOST_WRITES
    )
    data = {**record.written(), "stamped_at": datetime.now(timezone.utc)}
    run = "projects/p/databases/(default)/documents/_migrations/v002/runs/manual__2026-01-01T00:00:00"
    name = f"{run}/batches/{record.rows}"
    return size_of(wire.Document(name=name, fields=encode_fields(data)))


def main() -> None:
    """Print the model and the simulation side by side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=100)
    options = parser.parse_args()
    documents, workers = options.documents, options.workers
    paper = model(documents, workers)
    applied = simulate(documents, workers)
    print(f"{documents:,} documents on {workers} workers")
    for phase, seconds in paper.items():
        print(f"  {phase:8} {seconds / 60:8.1f} minutes")
    ratio = applied.seconds / paper["apply"]
    print(f"  apply    {applied.seconds / 60:8.1f} minutes simulated, {ratio:.3f} of the model:")
    print(f"           {applied.operations:,} operations, at most {applied.nearest:.4f} of what was allowed by then")
    used = usage(documents)
    print(f"  {used.reads:,} reads and {used.writes:,} writes: {Prices().of(used):,.0f} USD")
    batches = -(-documents // MOST_WRITES)
    print(f"  {batches:,} batch records of {record_bytes()} bytes: {batches * record_bytes() / 1e6:,.0f} MB")
    print(f"  {3 * workers + 5} task instances")


if __name__ == "__main__":
    main()

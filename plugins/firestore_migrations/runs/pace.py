"""Pace: a worker's part of the rate at which the whole run may write.

Workers know of each other by a small document each, `runs/{run}/workers/{shard}`, that tells when they were last at
work. Each takes an equal part of the rate. One that joins waits until all others have counted it, so that together they
never send more than the run may; one that is killed is counted no more after half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from firestore_migrations.firestore.ramp import Ramp
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import instant

PERIOD = 10.0
_FORGOTTEN_AFTER = 3 * PERIOD


class Pace:
    """Holds one worker back until its writes may be sent.

    Args:
        ledger: of the target.
        run_path: the path of the run's audit document.
        shard: that the worker writes.
        limit: operations a second for the whole run; None for the 500/50/5 rule, 0 for no limit.
        clock: seconds that only grow.
        sleep: waits.
    """

    def __init__(  # noqa: PLR0913 -- the clock is passed in
        self,
        ledger: Ledger,
        run_path: str,
        shard: int,
        limit: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._workers = f"{run_path}/workers"
        self._own = f"{self._workers}/{shard:04d}"
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._beat_at = clock()
        self._ramp = Ramp(0, clock(), clock)

    def begin(self, writing_for: float) -> None:
        """Join the workers of the run, which has been writing for so many seconds."""
        self._ramp = Ramp(self._limit, self._clock() - writing_for, self._clock)
        if not self._ramp.is_unlimited and self._beat() > 1:
            self._sleep(PERIOD)

    def end(self) -> None:
        """Leave the workers of the run: the others share what this one no longer needs."""
        if not self._ramp.is_unlimited:
            self._ledger.commit_again([self._ledger.put(self._own, {"at": instant(0)})])

    def wait(self, operations: int, meanwhile: Callable[[], object]) -> str:
        """Wait until so many operations may be sent.

        Args:
            operations: how many.
            meanwhile: is called every few seconds; what it raises ends the waiting.

        Returns:
            Why it waited; empty where it did not.
        """
        if self._ramp.is_unlimited:
            return ""
        if self._clock() - self._beat_at >= PERIOD:
            self._beat()
        free_at = self._ramp.reserve(operations)
        while (left := free_at - self._clock()) > 0:
            self._sleep(min(left, PERIOD))
            if left > PERIOD:
                self._beat()
                meanwhile()
        rule = "the 500/50/5 rule allows" if self._limit is None else "the limit is"
        return f"{rule} {self._ramp.rate:.0f} writes a second over all shards"

    def _beat(self) -> int:
        """Say that this worker is at work, and count those that are."""
        self._beat_at = self._clock()
        _, now = self._ledger.get(self._own)
        self._ledger.commit_again([self._ledger.put(self._own, {"at": instant(now)})])
        workers = self._ledger.count(self._workers, "at", instant(now - int(_FORGOTTEN_AFTER * 1_000_000)))
        self._ramp.share = 1 / max(1, workers)
        return workers

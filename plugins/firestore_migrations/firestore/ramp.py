"""The ramp: how fast a run may write.

Google's rule for traffic to a collection is 500/50/5: begin with at most 500 operations a second, and add half as many
again every five minutes. It counts for all shards of a run together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FIRST_RATE = 500.0
_GROWTH = 1.5
_STEP_SECONDS = 300.0


def allowed_rate(seconds: float) -> float:
    """Operations a second that the rule allows so many seconds after the start."""
    return _FIRST_RATE * _GROWTH ** int(max(0.0, seconds) // _STEP_SECONDS)


class Ramp:
    """Holds writes back until they may be sent.

    Args:
        limit: operations a second for the whole run; None for the rule, 0 for no limit.
        share: this worker's part of it: one divided by the shards that write at the same time.
        started: when the run began to write, on the same clock.
        clock: seconds since 1970.
        sleep: waits.
    """

    def __init__(
        self,
        limit: float | None,
        share: float = 1.0,
        started: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = limit
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._started = clock() if started is None else started
        self._free_at = clock()
        self._lock = threading.Lock()
        self.waited = 0.0

    @property
    def rate(self) -> float:
        """Operations a second that this worker may send now; infinite without a limit."""
        if self._limit == 0:
            return float("inf")
        total = allowed_rate(self._clock() - self._started) if self._limit is None else self._limit
        return total * self._share

    def wait(self, operations: int) -> None:
        """Wait until so many operations may be sent."""
        if self._limit == 0:
            return
        with self._lock:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + operations / self.rate
        if begin > now:
            self.waited += begin - now
            self._sleep(begin - now)

"""The ramp: how fast a run may write.

Google's rule for traffic to a collection is 500/50/5: begin with at most 500 operations a second, and add half as many
again every five minutes. It counts for all workers of a run together, and for the whole time: what is sent was earned
before, so that by no moment more has been sent than the rule allowed until then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FIRST_RATE = 500.0
_GROWTH = 1.5
_STEP_SECONDS = 300.0
_MOST_STEPS = 60  # 18 million million operations a second; a float would not hold many more


def allowed_rate(seconds: float) -> float:
    """Operations a second that the rule allows so many seconds after the start."""
    return _FIRST_RATE * _GROWTH ** min(_MOST_STEPS, int(max(0.0, seconds) // _STEP_SECONDS))


def seconds_for(operations: float, since: float = 0.0, limit: float | None = None, share: float = 1.0) -> float:
    """How long it takes to earn so many operations.

    Args:
        operations: how many.
        since: seconds since the ramp's start.
        limit: operations a second; None for the rule.
        share: of the rate.
    """
    if limit is not None:
        return operations / (limit * share)
    begin = since
    while True:
        step_ends = (since // _STEP_SECONDS + 1) * _STEP_SECONDS
        rate = allowed_rate(since) * share
        earned = (step_ends - since) * rate
        if operations <= earned:
            return since + operations / rate - begin
        operations -= earned
        since = step_ends


class Ramp:
    """Holds writes back until they are earned. Threads may share it.

    Args:
        limit: operations a second for the whole run; None for the rule, 0 for no limit.
        started: when the run began to write, on the same clock.
        clock: seconds.
    """

    def __init__(self, limit: float | None, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._started = started
        self._clock = clock
        self._earned_at = clock()
        self._lock = threading.Lock()
        self.share = 1.0

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is ever held back."""
        return self._limit == 0

    @property
    def rate(self) -> float:
        """Operations a second that all workers of the run together may send now; infinite without a limit."""
        if self._limit is None:
            return allowed_rate(self._clock() - self._started)
        return self._limit or float("inf")

    def reserve(self, operations: int) -> float:
        """Take so many operations; they may be sent at the time that is returned, on the clock."""
        with self._lock:
            begin = max(self._clock(), self._earned_at)
            if not self.is_unlimited:
                begin += seconds_for(operations, begin - self._started, self._limit, self.share)
            self._earned_at = begin
            return begin

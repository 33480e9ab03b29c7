"""The lease: the right to write, one run at a time a target.

It expires, and is renewed while work goes on. Whoever holds it sends no commit whose deadline ends after it, so a
worker that was stopped and comes back can do nothing with an old right. The fence is a number that grows with every
new holder. Time is the server's: the clocks of workers need not agree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from firestore_migrations.errors import LeaseHeld
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.run import instant

PATH = "_migrations/_lease"
SECONDS = 300
_COMMIT_SECONDS = 30.0
_MARGIN = 5.0


class Lease:
    """One run's hold on a target.

    Args:
        ledger: of the target.
        holder: the run, like `v002/manual__2026-01-01`.
        clock: seconds that only grow.
    """

    def __init__(self, ledger: Ledger, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._holder = holder
        self._clock = clock
        self._until = 0.0
        self._lock = threading.Lock()
        self.fence = 0

    def acquire(self) -> None:
        """Take the lease, or go on holding it; safe to repeat.

        Raises:
            LeaseHeld: another run holds it.
        """
        while True:
            asked = self._clock()
            (entry,), now = self._ledger.get(PATH)
            data: dict[str, Any] = {"holder": "", "fence": 0} if entry is None else entry.data
            is_ours = data["holder"] == self._holder
            if data["holder"] and not is_ours and data["expires_at"] > instant(now):
                raise LeaseHeld(
                    f"Run {data['holder']} holds the target until {data['expires_at']:%Y-%m-%d %H:%M:%S} UTC "
                    f"and renews that while it works.",
                    "Wait for it, or look at it with `firestore-migrations status`.",
                    holder=data["holder"],
                    expires_at=data["expires_at"],
                )
            fence = data["fence"] if is_ours else data["fence"] + 1
            claim = {
                "holder": self._holder,
                "run": f"_migrations/{self._holder.replace('/', '/runs/', 1)}",
                "fence": fence,
                "expires_at": instant(now + SECONDS * 1_000_000),
            }
            try:
                self._ledger.commit_once([self._ledger.change(PATH, claim, entry)])
            except Conflict:
                continue
            self._until = asked + SECONDS
            self.fence = fence
            return

    def commit_timeout(self) -> float:
        """How many seconds the next commit may take; renews the lease when less than two thirds of it are left.

        Raises:
            LeaseHeld: another run has taken it over, even if it gave it back since; or this run has ended.
        """
        with self._lock:
            if self._until - self._clock() < SECONDS * 2 / 3:
                self._renew()
            return min(_COMMIT_SECONDS, self._until - self._clock() - _MARGIN)

    def _renew(self) -> None:
        (entry,), _ = self._ledger.get(PATH)
        if entry is None or entry.data["holder"] != self._holder or entry.data["fence"] != self.fence:
            raise LeaseHeld(
                f"Run {self._holder} lost the target while it was writing: its lease ran out, or the run was ended.",
                "Nothing more was sent. Look with `firestore-migrations status`, then clear `apply` to go on.",
                holder="" if entry is None else entry.data["holder"],
            )
        self.acquire()

    def release(self) -> None:
        """Give the lease back if it is ours; safe to repeat."""
        while True:
            (entry,), now = self._ledger.get(PATH)
            if entry is None or entry.data["holder"] != self._holder:
                return
            freed = {"holder": "", "run": "", "expires_at": instant(now)}
            try:
                self._ledger.commit_once([self._ledger.change(PATH, freed, entry)])
            except Conflict:
                continue
            return

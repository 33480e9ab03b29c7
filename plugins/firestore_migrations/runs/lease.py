"""The lease: the right to write, one run at a time a target.

It expires, and is renewed while work goes on. Whoever holds it sends no commit whose deadline ends after it, so a
worker that was stopped and comes back can do nothing with an old right. The fence is a number that grows with every
new holder. Time is the server's: the clocks of workers need not agree.

A lease that is taken away from a run that may be writing, by `unlock` or `cancel`, stays nobody's until the last commit
that was permitted before can no longer arrive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from firestore_migrations.errors import FirestoreMigrationsError, LeaseHeld
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import Event, RunName, amendment, look
from firestore_migrations.runs.holder import COMMIT_SECONDS, PATH, freed, held
from firestore_migrations.runs.ledger import Conflict, Entry, Ledger
from firestore_migrations.runs.run import instant

SECONDS = 300
_MARGIN = 5.0
_LEAST = 1.0
_WAITING_SECONDS = 30
_LOSES = status.WRITING | {status.PENDING}
"""States of a run that cannot be true any more when another run has taken its lease over."""


class Lease:
    """One run's hold on a target. Safe to use from several threads.

    Args:
        ledger: of the target.
        holder: the run, like `v002/manual__2026-01-01`.
        run_path: of the run's audit document; None for the one that `holder` names.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        ledger: Ledger,
        holder: str,
        run_path: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._holder = holder
        self._run_path = run_path or RunName.of(holder).path
        self._clock = clock
        self._renewing = threading.Lock()
        self.fence = 0

    def acquire(self, *, anew: bool = False, waits: bool = False) -> None:
        """Take the lease, or go on holding it; safe to repeat. A paused run may hold it.

        A run whose lease ran out and is taken over here is recorded as failed, in the same commit.

        Args:
            anew: let the fence grow though the lease is this run's: its workers of before commit nothing more.
            waits: the refusal says when to look again (`free_in`), for a run that waits for its turn.

        Raises:
            LeaseHeld: another run holds it, or it was taken away a moment ago.
            RunCancelled: the run never writes again; the lease is whoever's it was.
        """
        while True:
            (entry, run), now = self._ledger.get(PATH, self._run_path)
            if run is not None:
                status.refuse_cancelled(run.data)
            data: dict[str, Any] = {"holder": "", "fence": 0} if entry is None else entry.data
            is_ours = data["holder"] == self._holder
            if entry is not None and not is_ours and data["expires_at"] > instant(now):
                refusal = held(data, now)
                if waits:
                    refusal.facts.setdefault("free_in", _WAITING_SECONDS)
                raise refusal
            claim = {
                "holder": self._holder,
                "run": self._run_path,
                "fence": data["fence"] if is_ours and not anew else data["fence"] + 1,
                "since": data.get("since", instant(now)) if is_ours else instant(now),
                "expires_at": instant(now + SECONDS * 1_000_000),
                "remark": "",
            }
            writes = [self._ledger.change(PATH, claim, entry)]
            if data["holder"] and not is_ours:
                writes += self._failure_of(RunName.of(data["holder"]))
            try:
                self._ledger.commit_once(writes)
            except Conflict:
                continue
            self.fence = claim["fence"]
            return

    def permit(self) -> float:
        """How many seconds the next commit may take; to be asked before every commit of a batch.

        One read tells whether the lease is still this run's, and whether somebody paused or cancelled the run. The
        lease is renewed when a third of it is gone.

        Raises:
            LeaseHeld: it was unlocked, or another run has taken it over, even if it gave it back since.
            RunPaused: somebody paused the run.
            RunCancelled: somebody cancelled the run.
        """
        while True:
            asked = self._clock()
            (entry, run), now = self._ledger.get(PATH, self._run_path)
            if run is not None:
                status.refuse_to_write(run.data)
            left = self._left(entry, now)
            if left < SECONDS * 2 / 3:
                self._renew()
                continue
            seconds = min(COMMIT_SECONDS, asked + left - self._clock() - _MARGIN)
            if seconds >= _LEAST:  # else this process stood still meanwhile
                return seconds

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease while the block works, if it is this run's when the block begins.

        Where it is lost meanwhile, nothing is renewed any more and nobody is told: `permit` refuses the next commit.
        """
        (entry,), _ = self._ledger.get(PATH)
        if entry is None or entry.data["holder"] != self._holder:
            yield
            return
        self.fence = entry.data["fence"]
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(over,), name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def release(self) -> None:
        """Give the lease back if it is ours; safe to repeat."""
        while True:
            (entry,), now = self._ledger.get(PATH)
            if entry is None or entry.data["holder"] != self._holder:
                return
            try:
                self._ledger.commit_once([freed(self._ledger, entry, now)])
            except Conflict:
                continue
            return

    def _keep(self, over: threading.Event) -> None:
        while True:
            try:
                self._renew()
            except LeaseHeld:
                return
            except FirestoreMigrationsError:
                pass  # the server is away; whoever works notices it too
            if over.wait(SECONDS / 10):
                return

    def _renew(self) -> None:
        """Let the lease last its full time again, unless another thread or worker of the run has done it."""
        with self._renewing:
            (entry,), now = self._ledger.get(PATH)
            if self._left(entry, now) >= SECONDS * 2 / 3:
                return
            until = {"expires_at": instant(now + SECONDS * 1_000_000)}
            try:
                self._ledger.commit_once([self._ledger.change(PATH, until, entry)])
            except Conflict:
                return  # whoever asked looks again

    def _left(self, entry: Entry | None, now: int) -> float:
        """How many seconds the lease lasts by the server's clock; below 0 where it ran out and nobody took it."""
        if entry is None or entry.data["holder"] != self._holder or entry.data["fence"] != self.fence:
            raise LeaseHeld(
                f"Run {self._holder} lost the target while it was writing: its lease ran out or was unlocked, or the "
                "run was ended.",
                "Nothing more was sent. Look with `firestore-migrations status`, then clear `apply` to go on.",
                holder="" if entry is None else entry.data["holder"],
            )
        return float((entry.data["expires_at"] - instant(now)).total_seconds())

    def _failure_of(self, other: RunName) -> list[bytes]:
        """The writes that record a run as failed whose lease ran out, if it says that it is working."""
        seen = look(self._ledger, other)
        if seen is None or seen.run.data["state"] not in _LOSES:
            return []
        why = f"its lease ran out; {self._holder} took the target over"
        event = Event("lease", why, self._holder)
        changes = {"error": f"LeaseLost: {why}"}
        return amendment(self._ledger, seen, event, status.FAILED, changes)[0]

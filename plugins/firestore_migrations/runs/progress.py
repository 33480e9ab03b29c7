"""Progress: how far a run is. The same words and numbers stand on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firestore_migrations.runs.words import duration

PHASES = ("backup", "dry_run", "apply", "verify")
WAITING, WORKING, DONE = "waiting", "working", "done"


@dataclass(frozen=True)
class Phase:
    """How far one of the four phases is.

    Attributes:
        name: `backup`, `dry_run`, `apply` or `verify`.
        state: `waiting`, `working` or `done`.
        done: documents that it is through with.
        total: of how many; None where nobody knows.
    """

    name: str
    state: str = WAITING
    done: int = 0
    total: int | None = None

    @property
    def documents(self) -> str:
        """How many documents it is through with, and of how many where that is known; empty of none."""
        if self.total is None:
            return f"{self.done:,} documents" if self.done else ""
        return f"{self.done:,} of {self.total:,} documents"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: the run's, by the audit; empty before it has begun there.
        task: the task that works or is next; `paused` or `finish` where none does.
        phases: the four phases.
        rate: documents a second, of the phase that works, lately.
        eta: seconds until that phase ends at this rate; None where that cannot be told.
        waiting: why it does not go on, or not faster; empty where it does.
        batches: that were committed.
        planned_batches: of how many.
        batch_size: documents of one commit at most, at present; 0 where nothing commits.
        writes: documents that were written.
        drifted: documents that had moved and were planned again.
        conflicts: documents left alone, for others wrote them meanwhile.
        failed: documents that cannot be written.
        price: what it has cost so far, in US dollars.
        estimate: what its plan said that it would cost; None before there is one.
        series: documents a second over time: pairs of seconds since the first commit, and the rate from there on.
        unread: batches that this watcher has not read yet; the numbers are too low by them.
        has_ended: whether none of its tasks works any more, or will, unless somebody clears one.
    """

    state: str = ""
    task: str = "preflight"
    phases: tuple[Phase, ...] = tuple(map(Phase, PHASES))
    rate: float = 0.0
    eta: float | None = None
    waiting: str = ""
    batches: int = 0
    planned_batches: int = 0
    batch_size: int = 0
    writes: int = 0
    drifted: int = 0
    conflicts: int = 0
    failed: int = 0
    price: float = 0.0
    estimate: float | None = None
    series: tuple[tuple[float, float], ...] = ()
    unread: int = 0
    has_ended: bool = False

    @property
    def working(self) -> Phase | None:
        """The phase that works; None between phases."""
        return next((phase for phase in self.phases if phase.state == WORKING), None)

    @property
    def speed(self) -> str:
        """Documents a second, in words; empty where nothing moves."""
        if not self.rate:
            return ""
        return f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s"

    @property
    def left(self) -> str:
        """How long the phase at work still takes, in words; empty where nobody knows."""
        return "" if self.eta is None else f"{duration(self.eta)} left"


def eta_of(phases: Sequence[Phase], rate: float) -> float | None:
    """Seconds until the phase at work is through at this rate; None where that cannot be told."""
    for phase in phases:
        if phase.state == WORKING and phase.total is not None and rate > 0:
            return max(0.0, (phase.total - phase.done) / rate)
    return None

"""Pulse: how far a task of a run is, told every few seconds to whoever looks on.

    _migrations/{version}/runs/{run}/pulses/{phase}-{shard}

Nothing depends on it: a pulse that cannot be told is lost, and what a run has done is known by its audit alone. A task
that ends within the first seconds tells nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from firestore_migrations.errors import FirestoreMigrationsError

if TYPE_CHECKING:
    from firestore_migrations.runs.ledger import Ledger

SECONDS = 2.0
_ALIVE = 30.0  # seconds since a pulse, after which its task is not at work any more
_SHARDS_PER_SECOND = 25
"""The pulses of very many shards are told less often, so that all of a run are some writes a second."""


class Beat(NamedTuple):
    """What a task told last.

    Attributes:
        phase: its name, like `apply`.
        shard: its number; 0 where the phase has none.
        done: documents that it was through with.
        seconds: for how long it had been at work.
        batch_size: documents of one commit, at most, at present; 0 where it commits nothing.
        waiting: why it waited; empty where it did not.
        at: when it told that, in microseconds since 1970, by the server's clock.
    """

    phase: str
    shard: int
    done: int = 0
    seconds: float = 0.0
    batch_size: int = 0
    waiting: str = ""
    at: int = 0


class Pulse:
    """How far the task at work is. The task changes it, a thread of its own reads and tells it."""

    def __init__(self) -> None:
        self._added = 0
        self._counter: Callable[[], int] = lambda: 0
        self.batch_size = 0
        self.waiting = ""

    @property
    def done(self) -> int:
        """Documents that the task is through with."""
        return self._added + self._counter()

    def add(self, documents: int) -> None:
        """So many documents more."""
        self._added += documents

    def follow(self, counter: Callable[[], int]) -> None:
        """Add whatever this counter says when it is asked."""
        self._counter = counter

    @contextmanager
    def told(self, ledger: Ledger, run_path: str, phase: str, shard: int, shards: Callable[[], int]) -> Iterator[None]:
        """Tell it every few seconds while the block works, and once more in the end, when nothing waits any more.

        Args:
            ledger: of the target; it can write.
            run_path: of the run's audit document.
            phase: the task.
            shard: its number, 0 for none.
            shards: asked once, when the block has worked for a while, how many shards the run has.
        """
        over = threading.Event()
        path = f"{run_path}/pulses/{phase}-{shard:04d}"

        def tell(began: float) -> None:
            seconds = round(time.monotonic() - began, 3)
            beat = Beat(phase, shard, self.done, seconds, self.batch_size, self.waiting)
            fields = {name: value for name, value in beat._asdict().items() if name != "at"}
            with suppress(FirestoreMigrationsError, ValueError):  # gRPC's, where the connection was closed meanwhile
                ledger.commit_again([ledger.put(path, fields)])

        def keep_telling() -> None:
            began = time.monotonic()
            if over.wait(SECONDS):
                return
            pause = SECONDS
            with suppress(FirestoreMigrationsError, ValueError):
                pause = max(SECONDS, shards() / _SHARDS_PER_SECOND)
            tell(began)
            while not over.wait(pause):
                tell(began)
            tell(began)

        thread = threading.Thread(target=keep_telling, name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.waiting = ""
            over.set()
            thread.join(SECONDS)


class Listener:
    """Hears what the tasks of a run tell. What very many shards tell is read as seldom as they tell it.

    Args:
        ledger: of the target.
        run_path: of the run's audit document.
    """

    def __init__(self, ledger: Ledger, run_path: str) -> None:
        self._ledger = ledger
        self._path = f"{run_path}/pulses"
        self._heard: dict[str, tuple[float, list[Beat]]] = {}

    def beats(self, phase: str) -> list[Beat]:
        """What the tasks of a phase told last; nothing of those that ended at once."""
        at, told = self._heard.get(phase, (0.0, []))
        if not told or time.monotonic() - at >= len(told) / _SHARDS_PER_SECOND:
            told = [
                Beat(**{name: entry.data[name] for name in Beat._fields if name in entry.data}, at=entry.update_time)
                for _, entry in self._ledger.entries(self._path, phase=phase)
            ]
            self._heard[phase] = (time.monotonic(), told)
        return told

    def at_work(self, phase: str, now: int) -> list[Beat]:
        """The same of the tasks that are at work now, by the server's clock in microseconds."""
        return alive(self.beats(phase), now)


def alive(told: list[Beat], now: int) -> list[Beat]:
    """Those of which somebody was heard lately."""
    quiet = max(_ALIVE, 2 * len(told) / _SHARDS_PER_SECOND)
    return [beat for beat in told if (now - beat.at) / 1_000_000 < quiet]


def rate_of(told: list[Beat]) -> float:
    """Documents a second, of all shards that work, since each began."""
    return sum(beat.done / beat.seconds for beat in told if beat.seconds)


def reason_of(told: list[Beat]) -> str:
    """Why they wait, as the first one tells."""
    return next((beat.waiting for beat in told if beat.waiting), "")

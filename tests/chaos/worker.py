"""A worker: one phase of a run in a process of its own, so that it can be killed, stopped and doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.discovery import load
from firestore_migrations.runs.phases import OF_SHARD, perform
from firestore_migrations.runs.run import Run
from tests.runs.world import World

if TYPE_CHECKING:
    from typing_extensions import Self

MIGRATIONS = Path(__file__).parent / "migrations"
COUNT_UP = MIGRATIONS / "v001_count_up.py"
WHOLE_AMOUNTS = MIGRATIONS / "v002_whole_amounts.py"

# Each worker is forked from one clean process that has loaded the engine and holds no connection: it is there in
# milliseconds, so that hundreds can be killed.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "tests.chaos.worker", "tests.chaos.live"])


@dataclass(frozen=True)
class Order:
    """What to perform, in words that another process understands.

    Attributes:
        host: of the emulator, or of a network in front of it.
        project: the database's.
        storage: the target's.
        file: the migration.
        run_id: the run's.
        options: those of a DAG run, by name.
    """

    host: str
    project: str
    storage: Path
    file: Path
    run_id: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, world: World, file: Path, run_id: str, **options: Any) -> Order:
        return cls(str(world.address.emulator_host), world.address.project, world.storage, file, run_id, options)

    def over(self, host: str) -> Order:
        """The same by another way to the database."""
        return replace(self, host=host)

    def run(self) -> Run:
        world = World(self.host, self.project, self.storage)
        try:
            return world.begin(load(self.file), run_id=self.run_id, **self.options).run
        finally:
            world.close()

    def perform(self, phase: str, shard: int | None = None) -> Any:
        """Perform a phase here and now; `finish` follows where it fails, as in the DAG."""
        return perform(self.run(), phase, shard)

    def places(self, phase: str) -> list[int | None]:
        """The shards that a phase is performed for, one task each."""
        if phase not in OF_SHARD:
            return [None]
        return [shard["index"] for shard in self.run().folder.read_json("run.json")["shards"]]


class Worker:
    """A process that performs one phase; leaving its `with` block waits for it.

    Args:
        order: of which run.
        phase: which phase.
        shard: of which shard.
    """

    def __init__(self, order: Order, phase: str, shard: int | None = None) -> None:
        self._answer, tell = FORKS.Pipe(duplex=False)
        self.phase = phase
        self._process = FORKS.Process(target=_work, args=(order, phase, shard, tell), daemon=True)
        self._process.start()
        tell.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self._process.join()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait so long for its end; whether it has ended."""
        self._process.join(seconds)
        return not self.is_alive

    def kill(self) -> bool:
        """Kill it with SIGKILL; whether it was still at work."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL

    def stop(self) -> None:
        """Stop it with SIGSTOP: its connections stay open, its clock goes on."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def go_on(self) -> None:
        if self.is_alive:
            os.kill(self._process.pid or 0, signal.SIGCONT)

    def result(self) -> Any:
        """What the phase returned, or the error that it raised; None of one that was killed."""
        self._process.join()
        try:
            return self._answer.recv()
        except EOFError:
            return None


def _work(order: Order, phase: str, shard: int | None, tell: Any) -> None:
    try:
        tell.send(order.perform(phase, shard))
    except Exception as error:  # noqa: BLE001 -- whatever it is, the test shows it
        tell.send(f"{type(error).__name__}: {error}")

"""The server goes away: for longer than every deadline, or for good, and comes back with its data put back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firestore_migrations.emulator import Emulator, start
from firestore_migrations.firestore import wire
from tests.chaos.lives import adds_up, batches, changes, fill, go_through, numbers
from tests.chaos.worker import COUNT_UP, Order, Worker
from tests.runs.world import World

LONGER_THAN_A_COMMIT = 40


class Server:
    """An emulator of one's own, which may be stopped, and killed and started again at the same address."""

    def __init__(self) -> None:
        self._emulator: Emulator = start(heap="512m")
        self.host = self._emulator.host

    def stop(self) -> None:
        os.kill(self._emulator.pid or 0, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._emulator.pid or 0, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self._emulator.pid or 0, signal.SIGKILL)
        self._emulator.wait()

    def start(self) -> None:
        self._emulator = start(int(self.host.partition(":")[2]), heap="512m")

    def end(self) -> None:
        self.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.end()


@pytest.fixture
def world(server: Server, project: str, tmp_path: Path) -> Iterator[World]:
    made = World(server.host, project, tmp_path / "storage")
    yield made
    made.close()


@pytest.fixture
def documents(is_long: bool) -> int:
    return 5_000 if is_long else 200


def put_back(world: World, documents: list[tuple[str, bytes]]) -> None:
    """Write documents as they were; their update times are new, as after any import."""
    writes = [wire.Write(update=wire.Document.FromString(raw)) for _, raw in documents]
    for write in writes:
        write.update.ClearField("create_time")
        write.update.ClearField("update_time")
    for first in range(0, len(writes), 400):
        world.writer.commit([write.SerializeToString() for write in writes[first : first + 400]], timeout=60)


def until_batches(world: World, order: Order, worker: Worker, share: float, documents: int) -> None:
    while world.audit.count_batches("v001", order.run_id) < share * documents / 10:
        assert worker.is_alive, worker.result()


def test_a_server_that_does_not_answer_for_a_while_costs_time_and_nothing_else(
    world: World, server: Server, documents: int, is_long: bool, figures: Callable[..., None]
) -> None:
    before = numbers("c", documents)
    fill(world, before)
    order = Order.of(world, COUNT_UP, "up", batch_size=10)
    go_through(order, "preflight", "review")
    seconds = LONGER_THAN_A_COMMIT if is_long else 2

    with Worker(order, "apply", 0) as worker:
        until_batches(world, order, worker, 0.3, documents)
        server.stop()
        worker.wait(seconds)
        server.go_on()
        first = worker.result()
    finished = go_through(order, "preflight", "finish")

    assert isinstance(first, dict) or "Unavailable" in first, first
    assert {data["n"] - before[path]["n"] for path, data in world.data().items()} == {1}
    assert (finished["state"], sum(batches(world, order)), changes(finished["counts"])) == (
        "verified",
        documents,
        documents,
    )
    figures(documents=documents, seconds_without_an_answer=seconds, lost=0, doubled=0)


@pytest.mark.parametrize("state", ["before the run", "half-way"])
def test_a_server_that_comes_back_with_an_earlier_state_is_migrated_once(
    world: World, server: Server, documents: int, is_long: bool, state: str, figures: Callable[..., None]
) -> None:
    """A state of one moment is put back, documents and audit together; batches committed after it are lost with it."""
    before = numbers("c", documents)
    fill(world, before)
    kept = world._everything()
    is_patient = is_long and state == "before the run"  # so that the worker gives up by itself
    order = Order.of(world, COUNT_UP, "up", batch_size=10)
    go_through(order, "preflight", "review")

    with Worker(order, "apply", 0) as worker:
        until_batches(world, order, worker, 0.2, documents)
        if state == "half-way":
            kept = world._everything()
        until_batches(world, order, worker, 0.4, documents)
        began = time.monotonic()
        server.kill()
        if is_patient:
            assert "Unavailable" in str(worker.result())
        else:
            worker.stop()
        gave_up_after = time.monotonic() - began
        server.start()
        put_back(world, kept)
    finished = go_through(order)

    data = world.data()
    assert ({data[path]["n"] - before[path]["n"] for path in before}, len(data)) == ({1}, documents)
    assert (finished["state"], sum(batches(world, order)), changes(finished["counts"])) == (
        "verified",
        documents,
        documents,
    )
    assert adds_up(finished["counts"])
    down = Order.of(world, COUNT_UP, "down", batch_size=10, direction="down")
    assert (go_through(down)["state"], world.data()) == ("rolled_back", before)
    figures(
        documents=documents,
        batches_in_the_state=sum("/batches/" in path for path, _ in kept),
        drifted=finished["counts"]["drifted"],
        worker=f"gave up after {gave_up_after:.0f} s" if is_patient else "stood still meanwhile",
        lost=0,
        doubled=0,
    )

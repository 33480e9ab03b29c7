"""Lives: runs performed by workers, and what is found afterwards."""

from __future__ import annotations

from typing import Any

from firestore_migrations.runs.ledger import Ledger
from tests.chaos.live import Data
from tests.chaos.worker import Order, Worker
from tests.runs.world import PHASES, World

__all__ = ["PHASES", "adds_up", "batches", "changes", "do", "fill", "go_through", "left_alone", "numbers"]


def numbers(collection: str, documents: int) -> Data:
    """Documents that each hold a number of their own."""
    return {f"{collection}/{number:05}": {"n": number} for number in range(documents)}


def fill(world: World, data: Data) -> None:
    """Write documents, some hundred at once."""
    paths = sorted(data)
    for first in range(0, len(paths), 500):
        world.write({path: data[path] for path in paths[first : first + 500]})


def go_through(order: Order, first: str = "preflight", last: str = "finish") -> Any:
    """Perform phases, one after the other; what the last one returned."""
    return [do(order, phase) for phase in PHASES[PHASES.index(first) : PHASES.index(last) + 1]][-1]


def do(order: Order, phase: str) -> Any:
    """Perform one phase by workers, all shards at the same time; what the last shard returned."""
    workers = [Worker(order, phase, place) for place in order.places(phase)]
    results = [worker.result() for worker in workers]
    failed = [result for result in results if not isinstance(result, (dict, list))]
    assert not failed, (phase, failed)
    return results[-1]


def batches(world: World, order: Order) -> list[int]:
    """How many documents each batch of a run wrote, by the audit."""
    found = Ledger(world.writer).entries(f"{order.run().path}/batches")
    return [entry.data["writes"] for _, entry in found]


def left_alone(world: World, order: Order) -> set[str]:
    """The documents that a run has left alone, by the audit."""
    found = Ledger(world.writer).entries(f"{order.run().path}/failures")
    return {entry.data["path"] for _, entry in found if entry.data["state"] == "open"}


def changes(counts: dict[str, int]) -> int:
    """How many documents were created, updated or deleted."""
    return counts["created"] + counts["updated"] + counts["deleted"]


def adds_up(counts: dict[str, int]) -> bool:
    """Whether every document that was scanned is told of, once."""
    return counts["scanned"] == changes(counts) + counts["unchanged"] + counts["conflicts"] + counts["failed"]

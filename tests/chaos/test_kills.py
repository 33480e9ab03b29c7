"""Workers that are killed: `n += 1` happens once to every document, and its rollback once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from tests.chaos.killing import Killer
from tests.chaos.lives import adds_up, batches, changes, fill, numbers
from tests.chaos.worker import COUNT_UP, Order
from tests.runs.world import World

DOCUMENTS = 10_000
ROWS = 100
KILLS_OF_A_RUN = 20


def test_every_document_is_counted_up_once_however_often_workers_are_killed(
    world: World, chance: random.Random, kills: int, figures: Callable[..., None]
) -> None:
    """In one shard and in three; and every way up is taken back again, under as many kills."""
    before = numbers("c", DOCUMENTS)
    fill(world, before)
    after = {path: {"n": data["n"] + 1} for path, data in before.items()}
    killed: Counter[str] = Counter()
    rounds = max(1, kills // KILLS_OF_A_RUN)
    found = []
    lost = doubled = 0
    for number in range(rounds):
        ways = (("up", 3 - number % 2 * 2, after), ("down", 1 + number % 2 * 2, before))
        for direction, shards, expected in ways:
            options = {"shards": shards, "batch_size": ROWS, "direction": direction}
            order = Order.of(world, COUNT_UP, f"{direction}-{number}", **options)
            killer = Killer(world, order, chance, kills // rounds, DOCUMENTS // ROWS)
            verified, finished = killer.life()
            killed.update({f"{direction} {phase}": times for phase, times in killer.killed.items()})
            data, counts = world.data(), finished["counts"]
            step = 1 if direction == "up" else -1
            off = [step * (data[path]["n"] - expected[path]["n"]) if path in data else -1 for path in expected]
            lost, doubled = lost + sum(by < 0 for by in off), doubled + sum(by > 0 for by in off)
            sums = sum(batches(world, order)), changes(counts), verified["held"]
            found.append((direction, data == expected, sums, adds_up(counts), finished["state"]))

    figures(documents=DOCUMENTS, runs=2 * rounds, killed=killed.total(), lost=lost, doubled=doubled, **killed)
    sums = (DOCUMENTS,) * 3
    assert found == [("up", True, sums, True, "verified"), ("down", True, sums, True, "rolled_back")] * rounds
    assert sum(times for phase, times in killed.items() if "apply" in phase) >= kills // 2

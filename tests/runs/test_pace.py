"""Pace: all workers of a run together keep to the rate that the run may write at."""

from __future__ import annotations

import heapq
from typing import Any

import pytest

from firestore_migrations.firestore.ramp import seconds_for
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.pace import PERIOD, Pace
from tests.runs.world import World

RUN = "_migrations/v001/runs/r"


class Worker:
    """One worker on a clock that all share: it sends 500 operations whenever it may."""

    def __init__(self, world: World, shard: int, clock: Any, limit: float | None = None) -> None:
        self.pace = Pace(Ledger(world.writer), RUN, shard, limit, clock, clock.sleep)
        self.pace.begin(writing_for=clock() - clock.began)


class Clock:
    def __init__(self) -> None:
        self.began = self.now = 5000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_one_worker_alone_has_the_whole_rate_and_says_why_it_waits(world: World) -> None:
    clock = Clock()
    worker = Worker(world, 0, clock)

    why = {worker.pace.wait(500, lambda: None) for _ in range(10)}

    assert clock() - clock.began == pytest.approx(seconds_for(5000))
    assert why == {"the 500/50/5 rule allows 500 writes a second over all shards"}


def test_workers_that_know_of_each_other_share_the_rate(world: World) -> None:
    """Three workers take turns on one clock, by who is free next; together they are never ahead of the rule."""
    clock = Clock()
    workers = [Worker(world, shard, clock) for shard in range(3)]
    joined = clock()
    turns = [(joined, number) for number in range(3)]
    heapq.heapify(turns)
    sent = 0
    while sent < 60_000:
        now, number = heapq.heappop(turns)
        clock.now = now
        workers[number].pace.wait(100, lambda: None)
        sent += 100
        heapq.heappush(turns, (clock(), number))

    took = max(now for now, _ in turns) - clock.began
    assert took >= seconds_for(60_000)
    assert took <= seconds_for(60_000) * 1.2 + 3 * PERIOD


def test_who_joins_waits_until_the_others_have_counted_it(world: World) -> None:
    clock = Clock()
    Worker(world, 0, clock)
    before = clock()
    Worker(world, 1, clock)
    assert clock() - before == PERIOD


def test_who_leaves_gives_its_part_back(world: World) -> None:
    clock = Clock()
    first, second = Worker(world, 0, clock), Worker(world, 1, clock)
    second.pace.end()
    clock.sleep(PERIOD)
    before = clock()
    first.pace.wait(500, lambda: None)
    assert clock() - before == pytest.approx(1.0)


def test_a_long_wait_asks_every_few_seconds_whether_it_still_may(world: World) -> None:
    clock = Clock()
    worker = Worker(world, 0, clock, limit=10)
    asked: list[float] = []

    worker.pace.wait(500, lambda: asked.append(clock() - clock.began))

    assert clock() - clock.began == 50
    assert asked == [10, 20, 30, 40]


def test_without_a_limit_nobody_waits_and_nothing_is_written(world: World) -> None:
    clock = Clock()
    worker = Worker(world, 0, clock, limit=0)
    assert worker.pace.wait(10**6, lambda: None) == ""
    worker.pace.end()
    assert (clock(), world.records()) == (clock.began, {})

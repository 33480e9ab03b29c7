"""Live writes: while a run goes on others write, and none of that is lost, undone or migrated twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firestore_migrations.runs.ledger import Ledger
from tests.chaos.live import Data, LiveWriters, Written, counting_code, new_code, old_code, told, written_by
from tests.chaos.lives import adds_up, batches, do, fill, go_through, left_alone
from tests.chaos.worker import COUNT_UP, WHOLE_AMOUNTS, Order, Worker
from tests.runs.world import World


@pytest.fixture
def documents(is_long: bool) -> int:
    return 20_000 if is_long else 1_000


@pytest.fixture
def options(documents: int) -> dict[str, Any]:
    """So slow that live writers come through: a second for 1,000 documents, ten for 20,000."""
    return {
        "shards": 1 if documents <= 1_000 else 2,
        "batch_size": 20,
        "max_writes_per_second": max(1_000, documents // 10),
    }


def apply_among(world: World, order: Order, *others: LiveWriters) -> None:
    """Apply, and let others write from the first committed batch on."""
    workers = [Worker(order, "apply", place) for place in order.places("apply")]
    while not batches(world, order):
        assert any(worker.is_alive for worker in workers), [worker.result() for worker in workers]
    for writers in others:
        writers.let_go()
    results = [worker.result() for worker in workers]
    assert all(isinstance(result, dict) for result in results), results


def meanwhile(world: World, order: Order, log: list[Written]) -> int:
    """How many documents others wrote to between the first and the last commit of a run."""
    records = Ledger(world.writer).entries(f"{order.run().path}/batches")
    times = [record.update_time for _, record in records]
    return len(written_by(entry for entry in log if min(times) <= entry.at <= max(times)))


def test_no_live_write_is_lost_and_all_are_migrated(
    world: World, documents: int, options: dict[str, Any], seed: str, figures: Callable[..., None]
) -> None:
    before: Data = {f"orders/{n:05}": {"amount": str(n)} for n in range(documents)}
    paths = sorted(before)
    fill(world, before)
    up = Order.of(world, WHOLE_AMOUNTS, "up", **options)
    go_through(up, "preflight", "review")

    with (
        LiveWriters(world.address, new_code, paths[1::2], documents // 12, seed) as new,
        LiveWriters(world.address, old_code, paths[::2], documents // 12, seed) as old,
    ):
        apply_among(world, up, old, new)
    with LiveWriters(world.address, new_code, paths, documents // 24, seed + "/verify") as later:
        later.let_go()
        do(up, "verify")
    finished = do(up, "finish")

    log = old.log + new.log + later.log
    expected = told(before, log)
    touched = written_by(log)
    assert meanwhile(world, up, log) >= documents // 10
    assert world.data() == {path: {**data, "amount": int(data["amount"])} for path, data in expected.items()}
    assert finished["state"] == "verified"
    assert adds_up(finished["counts"]), finished["counts"]

    down = Order.of(world, WHOLE_AMOUNTS, "down", direction="down", **options)
    go_through(down, "preflight", "review")
    with LiveWriters(world.address, new_code, paths[::2], documents // 24, seed + "/down") as down_new:
        apply_among(world, down, down_new)
    do(down, "verify")
    back = do(down, "finish")

    expected = told(expected, down_new.log)
    alone = left_alone(world, down)
    data = world.data()
    assert data.keys() == expected.keys()
    assert {path for path, stored in data.items() if stored != expected[path] and path not in alone} == set()
    assert {path for path in alone if data.get(path) != told_as_number(expected.get(path))} == set()
    assert alone <= touched | written_by(down_new.log)
    assert back["state"] == "rolled_back"
    assert adds_up(back["counts"]), back["counts"]
    figures(
        documents=documents,
        live_writes_up=len(log),
        documents_written_live=len(touched),
        of_these_between_commits=meanwhile(world, up, log),
        created=len(written_by(log, "create")),
        deleted=len(written_by(log, "delete")),
        drifted=finished["counts"]["drifted"],
        conflicts=finished["counts"]["conflicts"],
        live_writes_down=len(down_new.log),
        conflicts_down=back["counts"]["conflicts"],
        lost=0,
    )


def told_as_number(data: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if data is None else {**data, "amount": int(data["amount"])}


def test_what_others_count_up_meanwhile_is_counted_once(
    world: World, documents: int, options: dict[str, Any], seed: str, figures: Callable[..., None]
) -> None:
    """The migration adds 1, the live writers add thousands to the same numbers: each addition shows, once."""
    before: Data = {f"c/{n:05}": {"n": 0} for n in range(documents)}
    fill(world, before)
    up = Order.of(world, COUNT_UP, "up", **options)
    go_through(up, "preflight", "review")

    with LiveWriters(world.address, counting_code, sorted(before), documents // 8, seed) as others:
        apply_among(world, up, others)
        do(up, "verify")
    finished = do(up, "finish")

    expected = told(before, others.log)
    alone = left_alone(world, up)
    for path in expected.keys() & before.keys() - alone:
        expected[path]["n"] += 1
    assert world.data() == expected
    assert finished["state"] == "verified"
    assert adds_up(finished["counts"]), finished["counts"]
    figures(
        documents=documents,
        live_writes=len(others.log),
        documents_written_live=len(written_by(others.log)),
        of_these_between_commits=meanwhile(world, up, others.log),
        drifted=finished["counts"]["drifted"],
        conflicts=finished["counts"]["conflicts"],
        lost=0,
        doubled=0,
    )

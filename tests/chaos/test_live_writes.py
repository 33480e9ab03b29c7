"""Live writes: while a run goes on others write, and none of that is lost, undone or migrated twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firestore_migrations.runs.ledger import Ledger
from tests.chaos.live import Data, LiveWriters, Written, counting_code, new_code, old_code, told, written_by
from tests.chaos.lives import adds_up, fill, left_alone, live
from tests.chaos.worker import COUNT_UP, WHOLE_AMOUNTS, Order
from tests.runs.world import World


@pytest.fixture
def documents(is_long: bool) -> int:
    return 20_000 if is_long else 1_000


@pytest.fixture
def options(documents: int) -> dict[str, Any]:
    """So slow that live writers come through: a second for 1,000 documents, ten for 20,000."""
    return {
        "shards": 1 if documents <= 1_000 else 2,
        "batch_size": 100,
        "max_writes_per_second": max(1_000, documents // 10),
    }


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
    live(up, "preflight", "review")

    with LiveWriters(world.address, new_code, paths[1::2], documents // 12, seed) as new:
        with LiveWriters(world.address, old_code, paths[::2], documents // 12, seed) as old:
            live(up, "apply")
        live(up, "verify")
    finished = live(up, "finish")

    log = old.log + new.log
    expected = told(before, log)
    touched = written_by(log)
    assert meanwhile(world, up, log) >= documents // 10
    assert world.data() == {path: {**data, "amount": int(data["amount"])} for path, data in expected.items()}
    assert finished["state"] == "verified"
    assert adds_up(finished["counts"]), finished["counts"]

    down = Order.of(world, WHOLE_AMOUNTS, "down", direction="down", **options)
    live(down, "preflight", "review")
    with LiveWriters(world.address, new_code, paths[::2], documents // 24, seed + "/down") as down_new:
        live(down, "apply")
    live(down, "verify")
    back = live(down, "finish")

    expected, later = told(expected, down_new.log), written_by(down_new.log)
    alone = left_alone(world, down)
    data = world.data()
    assert data.keys() == expected.keys()
    assert {path for path, stored in data.items() if stored != expected[path] and path not in alone} == set()
    assert {path for path in alone if data.get(path) != told_as_number(expected.get(path))} == set()
    assert alone <= touched | later
    assert back["state"] == "rolled_back"
    assert adds_up(back["counts"]), back["counts"]
    figures(
        documents=documents,
        live_writes_up=len(log),
        documents_written_live=len(touched),
        of_these_during_apply=meanwhile(world, up, log),
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
    live(up, "preflight", "review")

    with LiveWriters(world.address, counting_code, sorted(before), documents // 8, seed) as others:
        live(up, "apply", "verify")
    finished = live(up, "finish")

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
        of_these_during_apply=meanwhile(world, up, others.log),
        drifted=finished["counts"]["drifted"],
        conflicts=finished["counts"]["conflicts"],
        lost=0,
        doubled=0,
    )

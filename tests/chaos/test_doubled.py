"""Doubled workers: two processes that both believe to be the one that performs a phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bad_network import BadNetwork, slow
from tests.chaos.lives import adds_up, batches, do, fill, go_through, left_alone, numbers
from tests.chaos.weather import storm
from tests.chaos.worker import COUNT_UP, WHOLE_AMOUNTS, Order, Worker
from tests.runs.world import World


@pytest.fixture
def documents(is_long: bool) -> int:
    return 2_000 if is_long else 200


def test_two_workers_that_apply_one_shard_apply_it_once(
    world: World, documents: int, seed: str, figures: Callable[..., None]
) -> None:
    """One of each pair has a good network, the other one a storm."""
    before = numbers("c", documents)
    fill(world, before)

    with BadNetwork(str(world.address.emulator_host), schedule=storm(seed)) as network:
        for direction, n in (("up", 1), ("down", 0)):
            order = Order.of(world, COUNT_UP, direction, shards=2, batch_size=20, direction=direction)
            go_through(order, "preflight", "review")
            ways = (order, order.over(network.host))
            workers = [Worker(way, "apply", place) for place in order.places("apply") for way in ways]
            results = [worker.result() for worker in workers]
            assert all(isinstance(result, dict) for result in results), results
            do(order, "verify")
            counts = do(order, "finish")["counts"]
            wrong = {path for path, data in world.data().items() if data["n"] != before[path]["n"] + n}
            assert (wrong, counts["updated"], sum(batches(world, order))) == (set(), documents, documents)
    figures(documents=documents, workers_of_a_shard=2, lost=0, doubled=0)


def test_two_workers_that_verify_while_there_is_residue_migrate_it_once(world: World) -> None:
    """Both find residue at different times. What they write adds up, and all of it can be taken back."""
    fill(world, {f"orders/{n:03}": {"amount": str(n)} for n in range(200)})
    up = Order.of(world, WHOLE_AMOUNTS, "up", batch_size=20)
    go_through(up, "preflight", "apply")
    meanwhile = {f"orders/{n:03}": {"amount": str(n * 10)} for n in range(100, 300)}
    fill(world, meanwhile)

    with BadNetwork(str(world.address.emulator_host), schedule=lambda *_: slow(0.01)) as network:
        workers = [Worker(up.over(network.host), "verify") for _ in range(2)]
        world.write({"orders/900": {"amount": "900"}})
        results = [worker.result() for worker in workers]
    assert any(isinstance(result, dict) for result in results), results
    do(up, "verify")
    finished = do(up, "finish")

    migrated = {path: data["amount"] for path, data in world.data().items()}
    assert migrated == {
        **{f"orders/{n:03}": n for n in range(100)},
        **{f"orders/{n:03}": n * 10 for n in range(100, 300)},
        "orders/900": 900,
    }
    assert (finished["state"], sum(batches(world, up))) == ("verified", 401)
    assert adds_up(finished["counts"]), finished["counts"]

    down = Order.of(world, WHOLE_AMOUNTS, "down", direction="down")
    assert go_through(down)["state"] == "rolled_back"
    wrong = {
        path
        for path, data in world.data().items()
        if path not in left_alone(world, down)
        and data != meanwhile.get(path, {"amount": str(int(path.removeprefix("orders/")))})
    }
    assert wrong == set()

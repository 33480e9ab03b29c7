"""Faults of the network: whatever is lost, late or refused on the way, `n += 1` happens once and is taken back once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bad_network import BadNetwork, Fault, late
from tests.chaos.lives import PHASES, adds_up, batches, do, fill, go_through, numbers
from tests.chaos.weather import WEATHERS
from tests.chaos.worker import COUNT_UP, Order, Worker
from tests.runs.world import World


@pytest.fixture
def documents(is_long: bool) -> int:
    return 1_000 if is_long else 120


@pytest.mark.parametrize("weather", list(WEATHERS))
def test_every_document_is_counted_up_once_in_any_weather(
    world: World, weather: str, documents: int, seed: str, figures: Callable[..., None]
) -> None:
    before = numbers("c", documents)
    fill(world, before)

    with BadNetwork(str(world.address.emulator_host), schedule=WEATHERS[weather](seed)) as network:
        for direction, n in (("up", 1), ("down", 0)):
            order = Order.of(world, COUNT_UP, direction, shards=2, batch_size=10, direction=direction)
            finished = go_through(order.over(network.host))
            wrong = {path: data for path, data in world.data().items() if data["n"] != before[path]["n"] + n}
            assert (wrong, finished["counts"]["updated"], sum(batches(world, order))) == ({}, documents, documents)
            assert adds_up(finished["counts"])

    broken, arrived = network.broken, network.late
    assert broken["Commit"] > 0
    figures(
        documents=documents,
        commits=network.calls["Commit"],
        commits_broken=broken["Commit"],
        other_calls_broken=broken.total() - broken["Commit"],
        arrived_late=arrived["OK"],
        refused_late=arrived.total() - arrived["OK"],
        lost=0,
        doubled=0,
    )


@pytest.mark.parametrize("successor", ["the same run", "its rollback"])
def test_a_commit_of_a_dead_worker_that_arrives_late_does_no_harm(world: World, successor: str) -> None:
    """A worker is killed while its commits are on their way; they arrive when somebody else has gone on."""
    before = numbers("c", 200)
    fill(world, before)
    options = {"shards": 1, "batch_size": 10}
    up = Order.of(world, COUNT_UP, "up", **options)
    go_through(up, "preflight", "review")

    def hold(method: str, number: int) -> Fault | None:
        return late() if method == "Commit" and number > 6 else None

    with BadNetwork(str(world.address.emulator_host), schedule=hold) as network:
        with Worker(up.over(network.host), "apply", 0) as worker:
            while network.held < 2 and not worker.wait(0.002):
                continue
            assert worker.kill()
        held = network.held
        do(up, "finish")
        if successor == "the same run":
            go_through(up, "preflight", "apply")
            became = network.let_go()
            go_through(up, "verify", "finish")
            left = 1
        else:
            down = Order.of(world, COUNT_UP, "down", direction="down", **options)
            go_through(down, "preflight", "review")
            became = network.let_go()
            go_through(down, "apply", "finish")
            left = 0

    assert (len(became), {data["n"] - before[path]["n"] for path, data in world.data().items()}) == (held, {left})


def test_tasks_that_are_cleared_and_run_again_after_the_end_change_nothing(world: World) -> None:
    fill(world, numbers("c", 60))
    up = Order.of(world, COUNT_UP, "up", shards=2, batch_size=10)
    counts = go_through(up)["counts"]
    ended = world.read(), world.update_times(), counts, batches(world, up), "verified", "verified"

    found = {}
    for phase in PHASES:
        for place in up.places(phase):
            up.perform(phase, place)
        again = up.perform("finish")
        result = world.read(), world.update_times(), again["counts"], batches(world, up), again["state"], world.state()
        found[phase] = result == ended

    assert found == dict.fromkeys(PHASES, True)

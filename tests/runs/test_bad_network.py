"""A whole life over a network that breaks: nothing is lost, and nothing happens twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from firestore_migrations import Database, Document, each_document
from tests.bad_network import BadNetwork
from tests.runs.world import Life, World


@each_document("c", idempotent=False)
def count_up(document: Document, db: Database) -> None:
    document["n"] += 1
    db.create(f"twin/{document.id}", {"n": document["n"]})


def over(network: BadNetwork, world: World, direction: str = "up") -> Life:
    life = world.begin(count_up, batch_size=10, direction=direction)
    target = replace(life.run.target, address=replace(world.address, emulator_host=network.host))
    life.run = replace(life.run, target=target)
    return life.perform("preflight", "finish")


def check(world: World, network: BadNetwork) -> None:
    before = world.read()
    life = over(network, world)
    assert {path: data["n"] for path, data in world.data().items()} == {
        **{f"c/{n:02}": n + 1 for n in range(45)},
        **{f"twin/{n:02}": n + 1 for n in range(45)},
    }
    assert (life.results["verify"]["held"], life.results["verify"]["changed_since"]) == (90, 0)
    assert life.results["apply"][0]["batches"] >= 9  # some were split
    counts = life.results["finish"]["counts"]
    assert (counts["created"], counts["updated"], counts["failed"], counts["conflicts"]) == (45, 45, 0, 0)
    states = [event["state"] for event in world.audit.events("v001", life.run.id)]
    events = [
        state for state, before in zip(states, [None, *states], strict=False) if state != before or state == "verified"
    ]
    assert events == ["pending", "planned", "applying", "applied", "verified", "verified"]
    over(network, world, "down")
    assert world.read() == before


@pytest.fixture
def counted(world: World) -> World:
    world.write({f"c/{n:02}": {"n": n} for n in range(45)})
    return world


@pytest.mark.parametrize("code", ["UNAVAILABLE", "ABORTED"])
def test_requests_that_never_arrive_are_sent_again(counted: World, code: str) -> None:
    refused = lambda _, number: number % 6 == 1  # noqa: E731
    with BadNetwork(str(counted.address.emulator_host), refused, code=grpc.StatusCode[code]) as network:
        check(counted, network)
        assert network.broken["Commit"] > 5


@pytest.mark.parametrize("nth", [2, 3])
def test_commits_whose_answer_is_lost_happen_once(counted: World, nth: int) -> None:
    lost = lambda name, number: name == "Commit" and number % nth == 0  # noqa: E731
    with BadNetwork(str(counted.address.emulator_host), loses=lost) as network:
        check(counted, network)
        assert network.broken["Commit"] > 5


def test_streams_that_are_cut_are_read_on(counted: World) -> None:
    with BadNetwork(str(counted.address.emulator_host), cuts=20) as network:
        check(counted, network)
        assert network.broken["RunQuery"] == 4  # snapshot and verify of 45 documents, up and down, in pieces of 20


def test_storage_is_the_only_thing_that_a_new_worker_needs(counted: World, tmp_path: Path) -> None:
    """A target whose storage moved goes on from the copy."""
    life = counted.begin(count_up).perform("preflight", "review")
    counted.storage.rename(tmp_path / "moved")
    life.run = replace(life.run, target=replace(life.run.target, storage=tmp_path / "moved"))
    assert life.go_on().results["finish"]["state"] == "verified"

"""The audit: exactly these documents, with these fields, and a history that only grows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import IllegalTransition, VerifyFailed
from firestore_migrations.runs import status
from firestore_migrations.runs.price import Prices, Usage
from tests.runs.world import World

RUN_FIELDS = {
    "direction": str,
    "mode": str,
    "target": str,
    "environment": str,
    "dag_id": str,
    "dag_run_id": str,
    "triggered_by": str,
    "approved_by": type(None),
    "checksum": str,
    "rollout_percent": int,
    "window": type(None),
    "plan_digest": str,
    "snapshot_uri": str,
    "plan_uri": str,
    "read_time": datetime,
    "started_at": datetime,
    "finished_at": datetime,
    "state": str,
    "counts": dict,
    "reads": int,
    "writes": int,
    "deletes": int,
    "price": float,
    "error": type(None),
    "writing_since": datetime,
    "estimate": dict,
    "seconds": float,
    "warnings": list,
}


@each_document("c")
def up(document: Document, db: Database) -> None:
    if document.get("bad"):
        db.fail("bad")
    document["new"] = document.get("old", 0)
    if document.get("drop"):
        db.delete(document.path)
    db.create(f"twin/{document.id}", {})


def fill(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(5)} | {"c/bad": {"bad": True}, "c/drop": {"drop": True}})
    world.write({"c/same": {"old": 1, "new": 1}, "twin/same": {}})


def types(data: dict[str, Any]) -> dict[str, type]:
    return {
        name: next(
            kind for kind in (datetime, bool, int, float, str, dict, list, type(None)) if isinstance(value, kind)
        )
        for name, value in data.items()
    }


def test_every_record_has_exactly_its_fields(world: World) -> None:
    fill(world)
    life = world.run(up, up_to="review", batch_size=4, max_failures=1, run_id="first")
    world.change("c/1", theirs=1)
    life.go_on()

    records = world.records()
    kinds: dict[str, set[str]] = {"batches": set(), "failures": set(), "events": set()}
    for path in records:
        parts = path.split("/")
        if len(parts) > 3:
            kinds[parts[3]].add(path)
    assert set(records) == {"_lease", "v001", "v001/runs/first"}.union(*kinds.values())

    assert types(records["v001/runs/first"]) == RUN_FIELDS
    assert types(records["v001"]) == {
        "version": str,
        "name": str,
        "description": str,
        "checksum": str,
        "state": str,
        "rollout_percent": int,
        "windows": list,
        "run": str,
        "updated_at": datetime,
    }
    assert types(records["_lease"]) == {
        "holder": str,
        "run": str,
        "fence": int,
        "since": datetime,
        "expires_at": datetime,
        "remark": str,
    }
    batch = {"shard", "rows", "writes", "drifted"}
    sums = {"created", "updated", "deleted", "documents", "unchanged", "pins", "reads", "drift", "stamped_at"}
    assert sorted((path.rsplit("/", 1)[1], "drift" in records[path]) for path in kinds["batches"]) == [
        ("000000000-000000003", True),
        ("000000004-000000007", False),
        ("000000008-000000011", False),
    ]
    for path in kinds["batches"]:
        assert batch <= set(records[path]) <= batch | sums
        assert records[path]["rows"] == path.rsplit("/", 1)[1]
    (failure,) = kinds["failures"]
    assert types(records[failure]) == {
        "path": str,
        "step": str,
        "error": str,
        "row": type(None),
        "task": str,
        "state": str,
    }
    for path in kinds["events"]:
        assert types(records[path]) == {"at": datetime, "task": str, "state": str, "message": str, "by": str}


def test_a_run_says_what_it_was_and_what_it_did(world: World) -> None:
    fill(world)
    life = world.run(up, batch_size=4, max_failures=1, run_id="first")

    run = world.audit.runs("v001")["first"]
    assert {name: run[name] for name in ("direction", "mode", "target", "environment", "dag_id", "dag_run_id")} == {
        "direction": "up",
        "mode": "apply",
        "target": "here",
        "environment": "development",
        "dag_id": "firestore_v001_up",
        "dag_run_id": "first",
    }
    assert (run["triggered_by"], run["checksum"], run["state"]) == ("ada", "0" * 64, "verified")
    assert run["plan_digest"] == life.results["review"]["plan_digest"]
    assert run["read_time"] < run["started_at"] < run["finished_at"]
    assert run["counts"] == {
        "scanned": 8,
        "created": 6,
        "updated": 5,
        "deleted": 1,
        "unchanged": 1,
        "drifted": 0,
        "conflicts": 0,
        "failed": 1,
    }
    # Snapshot 8; twins of the plan 7; verify: 6 left of the scope with the twins that it plans, and 7 written others.
    assert run["reads"] == 8 + 7 + life.results["verify"]["reads"]
    assert (run["writes"], run["deletes"]) == (6 + 5 + 3, 1)
    assert run["price"] == round((run["reads"] * 0.06 + 14 * 0.18 + 1 * 0.02) / 100_000, 6)
    assert {name: life.results["finish"][name] for name in ("counts", "reads", "writes", "deletes", "price")} == {
        name: run[name] for name in ("counts", "reads", "writes", "deletes", "price")
    }


def test_reads_are_two_a_document_and_one_in_a_hundred_more_where_a_step_reads_nothing_else(world: World) -> None:
    world.write({f"c/{n:03}": {} for n in range(50)})

    @each_document("c")
    def plain(document: Document, db: Database) -> None:
        document["new"] = 1

    run = world.run(plain).results
    assert (run["finish"]["reads"], run["finish"]["writes"]) == (101, 51)
    assert (run["review"]["reads"], run["review"]["writes"]) == (101, 51)
    assert run["review"]["price"] == run["finish"]["price"] == Prices().of(Usage(101, 51))


def test_the_states_of_a_life_in_order(world: World) -> None:
    world.write({"c/a": {}})

    life = world.begin(up, run_id="up")
    seen = []
    for phase in ("preflight", "backup", "dry_run", "review", "apply", "verify", "finish"):
        life.perform(phase)
        seen.append((phase, world.audit.runs("v001")["up"]["state"], world.state()))

    assert seen == [
        ("preflight", "pending", "pending"),
        ("backup", "pending", "pending"),
        ("dry_run", "pending", "pending"),
        ("review", "planned", "planned"),
        ("apply", "applying", "applying"),
        ("verify", "verified", "verified"),
        ("finish", "verified", "verified"),
    ]
    assert [(event["task"], event["state"]) for event in world.audit.events("v001", "up")] == [
        ("preflight", "pending"),
        ("review", "planned"),
        ("apply", "applying"),
        ("verify", "applied"),
        ("verify", "verified"),
        ("finish", "verified"),
    ]
    world.run(up, direction="down", run_id="down")
    assert [event["state"] for event in world.audit.events("v001", "down")] == [
        "pending",
        "pending",
        "planned",
        "rolling_back",
        "rolled_back",
        "rolled_back",
    ]


@pytest.mark.parametrize("stop", ["preflight", "dry_run", "review", "apply"])
def test_a_run_that_ends_too_early_is_failed_and_can_go_on(world: World, stop: str) -> None:
    world.write({"c/a": {}})
    life = world.run(up, up_to=stop, run_id="run")

    life.perform("finish")

    run = world.audit.runs("v001")["run"]
    assert (run["state"], run["finished_at"] > run["started_at"]) == ("failed", True)
    assert "clear the failed task to go on" in run["error"]
    assert world.state() == ("failed" if stop == "apply" else "pending")
    life.results.pop("finish")
    assert life.go_on().results["finish"]["state"] == "verified"
    run = world.audit.runs("v001")["run"]
    assert (run["state"], run["error"], world.state()) == ("verified", None, "verified")


def test_history_only_grows(world: World) -> None:
    fill(world)
    seen: dict[str, dict[str, Any]] = {}

    def growing() -> None:
        now = {path: data for path, data in world.records().items() if "/events/" in path or "/batches/" in path}
        assert {path: now.get(path) for path in seen} == seen
        assert len(now) > len(seen)
        seen.update(now)

    for direction in ("up", "down", "up"):
        world.run(up, direction=direction, max_failures=1)
        growing()
    assert len(world.audit.runs("v001")) == 3


def test_a_failed_phase_is_in_the_audit_before_anyone_is_told(world: World) -> None:
    world.write({"c/a": {}})

    @each_document("c")
    def wrong(document: Document, db: Database) -> None:
        document["n"] = 1

    @wrong.verify
    def never(document: Document, db: Database) -> None:
        raise AssertionError

    with pytest.raises(VerifyFailed) as failed:
        world.run(wrong, run_id="run")

    run = world.audit.runs("v001")["run"]
    assert (run["state"], run["error"], world.state()) == ("failed", f"VerifyFailed: {failed.value}", "failed")
    assert f"VerifyFailed: {failed.value}" in [event["message"] for event in world.audit.events("v001", "run")]


def test_every_state_is_reached_and_left_only_by_its_edges() -> None:
    states = set(status.TRANSITIONS)
    assert states == {
        before
        for before in states
        if before in ("pending", "baseline") or any(before in to for to in status.TRANSITIONS.values())
    }
    status.check_transition("r", "applying", "applying")
    with pytest.raises(IllegalTransition, match="Run r is rejected; it cannot become applying") as refused:
        status.check_transition("r", "rejected", "applying")
    assert refused.value.facts == {"run": "r", "before": "rejected", "after": "applying"}


def test_a_dry_run_touches_the_audit_alone(world: World) -> None:
    fill(world)
    before = world.read(), world.update_times()
    life = world.run(up, mode="dry_run", max_failures=1, run_id="run")
    run = world.audit.runs("v001")["run"]
    assert (world.read(), world.update_times()) == before
    assert (run["state"], run["mode"], world.state()) == ("planned", "dry_run", "planned")
    assert (run["writes"], run["deletes"], run["counts"]["updated"]) == (0, 0, 5)
    assert life.results["finish"]["price"] < life.results["review"]["price"]

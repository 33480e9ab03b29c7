"""Verify reads no document again that the dry run has proved to be right; and all the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import DocumentError
from firestore_migrations.runs.planner import LATER
from firestore_migrations.runs.preflight import course_of
from firestore_migrations.runs.run import instant
from tests.runs.world import World

COUNT = 400


class Called:
    """The paths that a step was called with."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def step(self, change: Callable[[Document, Database], None], **facts: Any) -> Any:
        @each_document("c", **facts)
        def up(document: Document, db: Database) -> None:
            self.paths.append(document.path)
            change(document, db)

        return up


def mark(document: Document, db: Database) -> None:
    document["m"] = 1


def old(world: World) -> None:
    world.write({f"c/{n:03d}": {"n": n} for n in range(COUNT)})


def test_a_document_that_holds_what_was_planned_is_not_read_again(world: World) -> None:
    """But for one in a hundred: the step is called again with a few, and with those that moved or are new."""
    old(world)
    called = Called()
    life = world.begin(called.step(mark))
    life.perform("preflight", "apply")
    world.write({"c/007": {"n": "old again"}, "c/new": {"n": 0}})
    called.paths.clear()
    life.perform("verify", "finish")

    assert {"c/007", "c/new"} <= set(called.paths)
    assert len(called.paths) < COUNT / 10
    verified = life.results["verify"]
    assert (verified["residue_applied"], verified["held"]) == (2, COUNT + 1)
    assert all(data["m"] == 1 for data in world.data().values())


def test_what_the_plan_left_alone_is_not_read_again_either(world: World) -> None:
    world.write({f"c/{n:03d}": {"m": 1} for n in range(COUNT)})
    called = Called()
    life = world.begin(called.step(mark))
    life.perform("preflight", "apply")
    called.paths.clear()
    life.perform("verify")
    assert len(called.paths) < COUNT / 20
    assert life.results["verify"]["held"] == 0


def test_a_step_that_breaks_its_promise_is_found_out_by_those_that_are_read_all_the_same(world: World) -> None:
    old(world)
    mind = [1]

    def moving(document: Document, db: Database) -> None:
        document["m"] = mind[0]

    life = world.begin(Called().step(moving))
    life.perform("preflight", "apply")
    mind[0] = 2
    life.perform("verify")
    assert life.results["verify"]["residue_applied"] > 0


def beside(document: Document, db: Database) -> None:
    if db.get(f"beside/{document.id}") is None:
        db.set(f"beside/{document.id}", {"n": document["n"]})


def test_what_was_written_beside_a_document_is_told_by_its_times_as_well(world: World) -> None:
    """Read whole are those whose source or target moved, and those that led to nothing, for a reason not kept."""
    old(world)
    world.write({"beside/010": {"n": "of old"}})
    called = Called()
    life = world.begin(called.step(beside), shards=3)
    life.perform("preflight", "apply")
    world.write({"c/007": {"n": "new"}, "beside/011": {"n": "changed"}})
    world.delete("c/009")
    called.paths.clear()
    life.perform("verify")

    assert {"c/007", "c/010", "c/011"} <= set(called.paths)
    assert len(called.paths) < COUNT / 10
    verified = life.results["verify"]
    assert (verified["residue_applied"], verified["held"], verified["changed_since"]) == (0, COUNT - 2, 1)

    world.write({"c/new": {"n": 0}})
    world.delete("beside/008")
    life.perform("verify", "finish")
    verified = life.results["verify"]
    assert (verified["residue_applied"], verified["held"], verified["changed_since"]) == (2, COUNT - 1, 1)
    data = world.data()
    assert {path for path in data if path.startswith("beside/")} == {
        *(f"beside/{n:03d}" for n in range(COUNT)),
        "beside/new",
    }
    assert (data["beside/010"], data["beside/011"]) == ({"n": "of old"}, {"n": "changed"})


def test_what_residue_has_written_again_for_another_document_counts_once(world: World) -> None:
    def shared(document: Document, db: Database) -> None:
        db.create(f"orgs/{document['org']}", {"of": document["org"]})

    world.write({"c/b": {"org": "x"}, "c/d": {"org": "y"}})
    life = world.begin(Called().step(shared))
    life.perform("preflight", "apply")
    world.delete("orgs/x")
    world.write({"c/a": {"org": "x"}})
    life.perform("verify", "finish")
    verified = life.results["verify"]
    assert (verified["residue_applied"], verified["held"], verified["changed_since"]) == (1, 2, 0)


def look(document: Document, db: Database) -> None:
    db.get("switch/it")
    document["m"] = 1


def ask(document: Document, db: Database) -> None:
    document["m"] = len(list(db.collection("nothing").list_documents())) or 1


def follow(document: Document, db: Database) -> None:
    document["m"] = 1 + document["of"].get().to_dict()["n"]


def look_late(document: Document, db: Database) -> None:
    """Looks only once it is in the new shape."""
    if "m" not in document:
        document["m"] = 1
    elif db.get("switch/it") is not None:
        document["m"] = 2


def skip_late(document: Document, db: Database) -> None:
    if "m" in document and db.get("switch/it") is None:
        db.skip()
    document["m"] = 1


def claim(document: Document, db: Database) -> None:
    """Looks by being refused."""
    try:
        db.bulk_writer().create("of/it", {})
    except DocumentError:
        document["m"] = 1


def count(document: Document, db: Database) -> None:
    """Looks, finds nothing, and leaves everything as it is."""
    if list(db.collection(document.path, "orders").limit(1).stream()):
        document["m"] = 1


def share(document: Document, db: Database) -> None:
    db.create("beside/all", {"n": 0})
    document["m"] = 1


@pytest.mark.parametrize(
    "change",
    [look, ask, follow, look_late, skip_late, claim, count, share],
    ids=lambda change: change.__name__,
)
def test_names_and_times_do_not_tell_enough_of_a_step_that_looks_at_others(
    world: World, change: Callable[[Document, Database], None]
) -> None:
    world.write({"of/it": {"n": 0}})
    reference = world.codec.reference(world.writer.full_name("of/it"))
    world.write({f"c/{n:03d}": {"n": n, "of": reference} for n in range(COUNT)})
    called = Called()
    life = world.begin(called.step(change))
    life.perform("preflight", "apply")
    called.paths.clear()
    life.perform("verify")
    assert set(called.paths) == {f"c/{n:03d}" for n in range(COUNT)}


@pytest.mark.parametrize("reason", ["it reads others", "it has checks", "a filter looks in", "it is a day later"])
def test_everything_is_read_again_where_names_and_times_do_not_tell_enough(world: World, reason: str) -> None:
    old(world)
    world.write({"switch/it": {"to": 1}})

    def follow(document: Document, db: Database) -> None:
        switch = db.get("switch/it")
        assert switch is not None
        document["m"] = switch["to"]

    called = Called()
    if reason == "it reads others":
        step = called.step(follow)
    elif reason == "a filter looks in":
        step = called.step(mark, where=[("n", ">=", 0)])
    else:
        step = called.step(mark)
    if reason == "it has checks":

        @step.verify
        def is_marked(document: Document, db: Database) -> None:
            assert document["m"] == 1

    life = world.begin(step)
    life.perform("preflight", "apply")
    if reason == "it is a day later":
        life.run = replace(life.run, now=instant(course_of(life.run).now) + LATER + timedelta(seconds=1))
    called.paths.clear()
    world.change("switch/it", to=2)
    life.perform("verify")
    assert {path for path in called.paths if path.startswith("c/")} >= {f"c/{n:03d}" for n in range(COUNT)}
    assert life.results["verify"]["residue_applied"] == (COUNT if reason == "it reads others" else 0)


def test_a_document_that_failed_is_read_again(world: World) -> None:
    """It has not changed since the snapshot, and yet nothing is proved of it."""
    world.write({f"c/{n}": {"n": n} for n in range(8)})
    mended: list[bool] = []

    def halve(document: Document, db: Database) -> None:
        assert mended or document["n"] != 3
        document["m"] = 1

    called = Called()
    life = world.begin(called.step(halve), max_failures=1)
    life.perform("preflight", "apply")
    called.paths.clear()
    mended.append(True)
    life.perform("verify")
    assert "c/3" in called.paths
    assert life.results["verify"]["residue_applied"] == 1
    assert all(data["m"] == 1 for data in world.data().values())


@pytest.mark.parametrize("shards", [1, 12])
def test_residue_of_many_shards_is_found_applied_and_held(world: World, shards: int) -> None:
    """Two looks in a row have residue, in every shard; what they wrote is found again where it belongs."""
    old(world)
    life = world.begin(Called().step(mark), shards=shards)
    life.perform("preflight", "apply")
    world.write({f"c/{n:03d}": {"n": -n} for n in range(0, COUNT, 7)})
    life.perform("verify")
    world.write({f"c/{n:03d}x": {"n": -n} for n in range(0, COUNT, 5)})
    world.delete("c/001", "c/399")
    life.perform("verify", "finish")
    verified = life.results["verify"]
    assert (verified["residue_applied"], verified["held"], verified["changed_since"]) == (80, COUNT + 80 - 2, 2)
    assert all(data["m"] == 1 for data in world.data().values())

    world.run(life.run.migration, direction="down")
    assert not any("m" in data for data in world.data().values())

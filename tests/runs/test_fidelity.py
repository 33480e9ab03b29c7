"""What a migration does not touch stays byte for byte; what it moves or takes back comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.values import canonical, is_vector
from tests.firestore.any_path import AWKWARD
from tests.runs.extremes import KEYS, a_map, extremes
from tests.runs.world import World

AS_DEEP_AS_CAN_BE = ("deep", "deep and mixed")
Contents = dict[str, dict[str, bytes]]


def table(world: World) -> Contents:
    """One document for each value: alone, in a map, in an array of maps, and under every name that a field can have."""
    documents: dict[str, dict[str, Any]] = {}
    for name, value in extremes(world.address.project).items():
        fields = {"value": value, "n": wire.Value(integer_value=1)}
        if name not in AS_DEEP_AS_CAN_BE:
            fields["map"] = a_map({"inner": value, "other": wire.Value(integer_value=1)})
            fields["maps"] = wire.Value(array_value={"values": [a_map({"of": value})] if not is_vector(value) else []})
        documents[f"c/{name}"] = fields
    documents["c/names"] = {name: wire.Value(double_value=-0.0) for name in KEYS} | {"n": wire.Value(integer_value=1)}
    documents["c/none"] = {}
    world.write(documents)
    return contents(world)


def contents(world: World) -> Contents:
    """Every field's bytes, as the server has them."""
    found = {path: wire.Document.FromString(raw).fields for path, raw in world._everything()}
    return {
        path: {name: canonical(value) for name, value in fields.items()}
        for path, fields in found.items()
        if not path.startswith("_migrations/")
    }


def without(fields: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: value for name, value in fields.items() if name not in names}


@each_document("c")
def change_elsewhere(document: Document, db: Database) -> None:
    document["n"] = 2
    document["new"] = {"a": {"b": [1]}}
    if "map" in document:
        document["map"]["other"] = 2


@each_document("c")
def delete(document: Document, db: Database) -> None:
    db.delete(document.path)


@each_document("c")
def rename(document: Document, db: Database) -> None:
    for name in [name for name in document if not name.startswith("moved ") and name not in {"n", "theirs"}]:
        document.rename(name, f"moved {name}"[:1400])


@each_document("c")
def copy(document: Document, db: Database) -> None:
    """Through the types of Python."""
    db.set(f"copies/{document.id}", document.to_dict())


@each_document("c")
def move(document: Document, db: Database) -> None:
    db.set(f"moved/{document.id}", document.to_dict())
    db.delete(document.path)


def other_is_two(world: World, before: Contents) -> None:
    two = wire.Value(integer_value=2)
    after = contents(world)
    for path, fields in before.items():
        assert without(after[path], "n", "new", "map") == without(fields, "n", "map"), path
        if "map" in fields:
            given = wire.Value.FromString(fields["map"])
            given.map_value.fields["other"].CopyFrom(two)
            assert after[path]["map"] == canonical(given), path
        assert after[path]["n"] == canonical(two)


def all_is_gone(world: World, before: Contents) -> None:
    assert contents(world) == {}


def all_is_renamed(world: World, before: Contents) -> None:
    after = contents(world)
    for path, fields in before.items():
        kept = {"n", "theirs"}
        moved = {name if name in kept else f"moved {name}"[:1400]: value for name, value in fields.items()}
        assert after[path] == moved, path


def all_is_there_twice(world: World, before: Contents) -> None:
    after = contents(world)
    for path, fields in before.items():
        assert after[path] == fields, path
        assert without(after[path.replace("c/", "copies/")], "theirs") == without(fields, "theirs"), path


def all_is_elsewhere(world: World, before: Contents) -> None:
    assert contents(world) == {path.replace("c/", "moved/"): fields for path, fields in before.items()}


Check = Callable[[World, Contents], None]
TABLE: list[tuple[Step, Check]] = [
    (change_elsewhere, other_is_two),
    (delete, all_is_gone),
    (rename, all_is_renamed),
    (copy, all_is_there_twice),
    (move, all_is_elsewhere),
]


@pytest.mark.parametrize(("step", "check"), TABLE, ids=lambda value: getattr(value, "name", ""))
def test_up_and_down_again_keep_every_byte(world: World, step: Step, check: Check) -> None:
    before = table(world)

    life = world.run(step)
    assert life.results["finish"]["state"] == "verified"
    check(world, before)

    down = world.run(step, direction="down")
    assert contents(world) == before
    assert (down.results["finish"]["state"], down.results["finish"]["counts"]["conflicts"]) == ("rolled_back", 0)


@pytest.mark.parametrize(("step", "check"), TABLE, ids=lambda value: getattr(value, "name", ""))
def test_a_plan_that_is_made_again_while_it_is_applied_keeps_every_byte(world: World, step: Step, check: Check) -> None:
    """Every document moves between review and apply."""
    before = table(world)
    life = world.run(step, up_to="review")
    for path in before:
        world.change(path, theirs=1.5)
    before = contents(world)
    life.go_on()

    assert life.results["finish"]["counts"]["drifted"] >= len(before) - 1  # nothing to rename in the one without fields
    check(world, before)

    down = world.run(step, direction="down")
    assert contents(world) == before
    assert (down.results["finish"]["state"], down.results["finish"]["counts"]["conflicts"]) == ("rolled_back", 0)


def test_what_people_wrote_since_stays_beside_what_goes_back(world: World) -> None:
    """Field by field: theirs stays, and ours goes back to the byte."""
    before = table(world)
    world.run(change_elsewhere)
    for path in before:
        world.change(path, theirs=1.5)

    world.run(change_elsewhere, direction="down")

    after = contents(world)
    assert {path: without(fields, "theirs") for path, fields in after.items()} == before
    assert all("theirs" in fields for fields in after.values())


def test_a_second_run_finds_nothing_to_change(world: World) -> None:
    table(world)
    world.run(copy)
    times = world.update_times()
    world.run(copy)
    assert world.update_times() == times


@each_document("c", group=True)
def count(document: Document, db: Database) -> None:
    document["done"] = True
    db.set(f"{document.path}/below/it", {"path": document.path})


def test_documents_of_every_id_go_through_a_whole_life(world: World) -> None:
    """At the top, below missing documents, and below each other; in shards that the server's order cuts."""
    forms = ("c/{}", "gone/{}/c/a", "c/a/c/{}", "a/b/d/__id7__/c/{}")
    world.write({form.format(name): {"n": 1} for form in forms for name in AWKWARD})
    before = world.read()

    up = world.run(count, shards=7, batch_size=10)
    after = world.data()
    assert {path for path, data in after.items() if data.get("done")} == before.keys()
    assert {path: data["path"] for path, data in after.items() if "path" in data} == {
        f"{path}/below/it": path for path in before
    }
    counts = up.results["finish"]["counts"]
    assert (counts["updated"], counts["created"]) == (len(before), len(before))
    assert up.results["finish"]["state"] == "verified"

    world.run(count, direction="down")
    assert world.read() == before

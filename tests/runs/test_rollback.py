"""Rollback: byte for byte what was there before, and never over what people wrote since."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.errors import NothingToRollBack, OutOfOrder, TooManyFailures
from tests.runs.extremes import extremes
from tests.runs.world import World


@each_document("c")
def up(document: Document, db: Database) -> None:
    document.rename("old", "new")
    if "gone" in document:
        db.delete(document.path)
        db.create(f"archive/{document.id}", document.to_dict())
    db.set(f"twin/{document.id}", {"of": document.id})


def everything(world: World) -> dict[str, bytes]:
    fields = extremes(world.address.project)
    world.write(
        {f"c/{n}": {"old": n, **fields} for n in range(5)}
        | {"c/gone": {"gone": True, **fields}, "c/empty": {}, "twin/1": {"mine": 1, **fields}, "twin/4": {"of": "4"}}
    )
    return world.read()


def conflicts(world: World, run_id: str = "run-2") -> dict[str, str]:
    prefix = f"v001/runs/{run_id}/failures/"
    return {data["path"]: data["error"] for path, data in world.records().items() if path.startswith(prefix)}


@pytest.mark.parametrize("shards", [1, 3])
def test_it_restores_every_byte_deletes_what_was_created_and_creates_what_was_deleted(
    world: World, shards: int
) -> None:
    before = everything(world)
    world.run(up, shards=shards, batch_size=3)
    changed = world.read()

    down = world.run(up, direction="down")

    assert changed.keys() - before.keys() == {"archive/gone", "twin/0", "twin/2", "twin/3", "twin/empty", "twin/gone"}
    assert world.read() == before
    assert down.results["finish"]["counts"] == {
        "scanned": 13,
        "created": 1,
        "updated": 6,
        "deleted": 6,
        "unchanged": 0,
        "drifted": 0,
        "conflicts": 0,
        "failed": 0,
    }
    assert (down.results["verify"]["held"], down.results["finish"]["state"]) == (13, "rolled_back")
    assert (world.state(), world.audit.versions()["v001"]["rollout_percent"]) == ("rolled_back", 0)


def test_what_was_changed_since_is_a_conflict_and_left_alone(world: World) -> None:
    before = everything(world)

    def meanwhile() -> None:
        world.change("c/1", theirs=True)
        world.write({"twin/2": {"theirs": True}})
        world.delete("c/3", "twin/3")
        world.write({"c/gone": {"again": True}})

    _, down = world.up_and_down(up, meanwhile)

    after = world.read()
    theirs = {"c/1", "twin/2", "c/3", "c/gone"}
    assert {path: text for path, text in after.items() if path not in theirs} == {
        path: text for path, text in before.items() if path not in theirs
    }
    data = world.data()
    assert (data["c/1"]["new"], data["c/1"]["theirs"], "c/3" in data) == (1, True, False)
    assert (data["twin/2"], data["c/gone"]) == ({"theirs": True}, {"again": True})
    assert conflicts(world) == dict.fromkeys(theirs, "conflict: changed since the run; left alone")
    assert down.results["finish"]["counts"]["conflicts"] == 4
    assert down.results["finish"]["counts"]["unchanged"] == 1  # twin/3 was created, and is gone already
    assert down.results["finish"]["state"] == "rolled_back"


def test_what_is_changed_while_the_rollback_runs_is_a_conflict(world: World) -> None:
    everything(world)
    world.run(up)
    down = world.run(up, direction="down", up_to="review")

    world.change("c/1", theirs=True)
    down.go_on()

    data = world.data()
    assert (data["c/1"]["new"], data["c/1"]["theirs"], data["c/2"]["old"]) == (1, True, 2)
    assert conflicts(world) == {"c/1": "conflict: changed since the rollback was planned; left alone"}
    assert down.results["finish"]["counts"]["conflicts"] == 1


def test_a_document_that_somebody_wrote_and_wrote_back_is_as_the_run_left_it(world: World) -> None:
    before = everything(world)

    def meanwhile() -> None:
        world.change("c/1", new=100)
        world.change("c/1", new=1)

    world.up_and_down(up, meanwhile)

    assert world.read() == before


def test_a_document_that_carries_the_servers_time_goes_back_too(world: World) -> None:
    world.write({"c/a": {"n": 1}})
    before = world.read()

    @each_document("c")
    def stamp(document: Document, db: Database) -> None:
        document.setdefault("at", SERVER_TIMESTAMP)
        db.create("made/a", {"at": SERVER_TIMESTAMP})

    world.up_and_down(stamp)

    assert world.read() == before


def test_it_takes_back_two_runs_of_a_rollout_at_once(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(40)})
    before = world.read()
    world.run(up, rollout_percent=30)
    world.run(up)

    down = world.run(up, direction="down")

    assert world.read() == before
    assert down.results["finish"]["counts"]["scanned"] == 80
    assert world.state() == "rolled_back"


def test_it_takes_back_residue(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(4)})
    life = world.run(up, up_to="apply")
    world.write({"c/1": {"old": "again"}, "c/late": {"old": 9}, "c/0b": {"old": 10}})
    before = {**world.data(), **{f"c/{n}": {"old": n} for n in (0, 2, 3)}}
    life.go_on()
    assert life.results["verify"]["residue_applied"] == 5  # three documents, and twins of the two new ones
    assert life.results["verify"]["changed_since"] == 0

    down = world.run(up, direction="down")

    assert world.data() == {path: data for path, data in before.items() if not path.startswith("twin/")}
    assert down.results["finish"]["counts"]["conflicts"] == 0


def test_an_edit_between_two_runs_that_are_taken_back_is_never_lost(world: World) -> None:
    """Run 1 adds `one`; a person edits the document; run 2 adds `two`: going back before run 1 would lose the edit."""
    world.write({"c/a": {"n": 1}})

    def adding(*fields: str) -> Any:
        @each_document("c")
        def add(document: Document, db: Database) -> None:
            for field in fields:
                document.setdefault(field, True)

        return add

    world.run(adding("one"))
    world.change("c/a", theirs=True)
    world.run(adding("one", "two"))

    world.run(adding("one", "two"), direction="down", run_id="down")

    assert world.data() == {"c/a": {"n": 1, "one": True, "two": True, "theirs": True}}
    assert conflicts(world, "down") == {"c/a": "conflict: changed between the runs; left alone"}


def test_it_is_refused_while_a_later_version_is_applied(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    world.run(world.migration(up, version="v001"))
    world.run(world.migration(up, version="v002"))
    before = world.read()

    with pytest.raises(OutOfOrder, match=r"v001 .* later v002.*rollback v002"):
        world.run(world.migration(up, version="v001"), direction="down")

    assert world.read() == before
    world.run(world.migration(up, version="v003"), mode="dry_run")
    world.run(world.migration(up, version="v002"), direction="down")
    assert (world.state("v002"), world.read()) == ("rolled_back", before)
    with pytest.raises(NothingToRollBack, match="v002"):
        world.run(world.migration(up, version="v002"), direction="down")
    world.run(world.migration(up, version="v001"), direction="down")
    assert world.state("v001") == "rolled_back"


def test_it_is_refused_where_nothing_was_committed(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    with pytest.raises(NothingToRollBack):
        world.run(up, direction="down")
    world.run(up, mode="dry_run")
    with pytest.raises(NothingToRollBack):
        world.run(up, direction="down")


def test_a_second_rollback_is_refused_and_a_second_run_can_be_taken_back(world: World) -> None:
    before = everything(world)
    world.up_and_down(up)
    with pytest.raises(NothingToRollBack):
        world.run(up, direction="down")

    world.up_and_down(up)

    assert world.read() == before
    assert world.state() == "rolled_back"
    with pytest.raises(NothingToRollBack):
        world.run(up, direction="down")


def test_a_run_that_stopped_half_way_is_taken_back_as_far_as_it_came(world: World) -> None:
    world.write({f"c/{n:02}": {"old": n} for n in range(40)})
    world.write({"c/02": {"text": "x" * (1024 * 1024 - 200)}})
    before = world.read()

    @each_document("c")
    def grow(document: Document, db: Database) -> None:
        document["more"] = "y" * 300

    with pytest.raises(TooManyFailures):
        world.run(grow, batch_size=1)
    came = sum("more" in data for data in world.data().values())
    assert 0 < came < 39
    assert world.state() == "failed"

    down = world.run(grow, direction="down")

    assert world.read() == before
    assert down.results["finish"]["counts"]["updated"] == came


def test_a_rollback_is_planned_first_and_a_dry_run_of_it_writes_nothing(world: World) -> None:
    everything(world)
    world.run(up)
    migrated = world.read()

    life = world.run(up, direction="down", mode="dry_run")

    assert life.results["review"]["counts"]["scanned"] == 13
    assert world.read() == migrated
    assert world.state() == "verified"

"""Rollback: byte for byte what was there before, and never over what people wrote since."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.errors import LeaseHeld, NothingToRollBack, OutOfOrder, Refused, TooManyFailures
from tests.runs.extremes import extremes
from tests.runs.world import Life, World

CHANGED = "conflict: {} changed since the run; left alone"


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


def test_of_what_was_changed_since_only_the_runs_own_part_goes_back(world: World) -> None:
    before = everything(world)

    def meanwhile() -> None:
        world.change("c/1", theirs=True)
        world.change("c/2", new="theirs", theirs=True)
        world.write({"twin/2": {"theirs": True}, "twin/3": {"of": "3", "theirs": True}})
        world.delete("c/3", "twin/0", "c/4")
        world.write({"c/gone": {"again": True}, "c/4": {"new": 4, "again": True}})

    _, down = world.up_and_down(up, meanwhile)

    after, data = world.read(), world.data()
    theirs = {"c/1", "c/2", "c/3", "c/4", "c/gone", "twin/2", "twin/3"}
    assert {path: text for path, text in after.items() if path not in theirs} == {
        path: text for path, text in before.items() if path not in theirs
    }
    assert {name: data["c/1"].get(name) for name in ("old", "new", "theirs")} == {"old": 1, "new": None, "theirs": True}
    assert {name: data["c/2"].get(name) for name in ("old", "new")} == {"old": 2, "new": "theirs"}
    assert (data["twin/2"], data["twin/3"]) == ({"theirs": True}, {"theirs": True})
    assert (data["c/4"], data["c/gone"], "c/3" in data) == ({"new": 4, "again": True}, {"again": True}, False)
    assert conflicts(world) == {
        "c/2": CHANGED.format("new"),
        "c/3": CHANGED.format("the document"),  # it is gone, and stays so
        "c/4": CHANGED.format("the document"),  # it was deleted and created anew
        "c/gone": CHANGED.format("the document"),  # the run deleted it
    }
    assert down.results["finish"]["counts"] == {
        "scanned": 13,
        "created": 0,
        "updated": 5,
        "deleted": 3,
        "unchanged": 2,  # nothing of the run is left in twin/2, and twin/0 is gone already
        "drifted": 0,
        "conflicts": 4,  # c/2 is among the updated ones too
        "failed": 0,
    }
    assert down.results["finish"]["state"] == "rolled_back"


def test_of_what_is_changed_while_the_rollback_runs_only_the_runs_own_part_goes_back(world: World) -> None:
    everything(world)
    world.run(up)
    down = world.run(up, direction="down", up_to="review")

    world.change("c/1", theirs=True)
    world.change("c/2", new="theirs")
    world.change("twin/0", theirs=True)
    world.delete("c/3", "twin/3")
    world.write({"c/gone": {"again": True}})
    down.go_on()

    data = world.data()
    assert {name: data["c/1"].get(name) for name in ("old", "new", "theirs")} == {"old": 1, "new": None, "theirs": True}
    assert {name: data["c/2"].get(name) for name in ("old", "new")} == {"old": 2, "new": "theirs"}
    assert (data["twin/0"], data["c/gone"]) == ({"theirs": True}, {"again": True})
    assert data.keys() & {"c/3", "twin/2", "twin/3"} == set()
    assert {path: error.split(":")[1].split(" changed ")[0] for path, error in conflicts(world).items()} == {
        "c/2": " new",
        "c/3": " the document",
        "c/gone": " the document",
    }
    assert (down.results["finish"]["counts"]["conflicts"], down.results["finish"]["counts"]["drifted"]) == (3, 6)
    assert down.results["verify"]["changed_since"] == 0


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


def test_the_servers_time_of_the_run_goes_and_that_of_people_stays(world: World) -> None:
    stored = {f"c/{name}": {"n": 1, "m": {"k": 1}} for name in ("theirs", "stamped", "plain")}
    world.write(stored)

    @each_document("c")
    def stamp(document: Document, db: Database) -> None:
        document.setdefault("at", SERVER_TIMESTAMP)
        document["m"].setdefault("at", SERVER_TIMESTAMP)

    def meanwhile() -> None:
        world.change("c/theirs", theirs=1)
        world.change("c/stamped", at=datetime.now(timezone.utc) + timedelta(seconds=1))

    world.up_and_down(stamp, meanwhile)

    data = world.data()
    assert (data["c/plain"], data["c/theirs"]) == (stored["c/plain"], {**stored["c/theirs"], "theirs": 1})
    assert (data["c/stamped"]["m"], "at" in data["c/stamped"]) == ({"k": 1}, True)
    assert conflicts(world) == {"c/stamped": CHANGED.format("at")}


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

    assert world.data() == {"c/a": {"n": 1, "theirs": True}}
    assert conflicts(world, "down") == {}


def test_what_people_wrote_in_the_old_shape_between_two_runs_is_what_it_goes_back_to(world: World) -> None:
    """Both runs have written `n`, and a person in between: run 2 goes back to that, and run 1 has nothing to say."""
    world.write({f"c/{name}": {"n": 0} for name in ("a", "since", "back", "gone", "anew")})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        if document["n"] < 10:
            document["n"] += 10

    world.run(up)
    world.change("c/a", n=5, theirs=True)
    world.change("c/since", n=5)
    world.change("c/back", n=0)
    world.delete("c/gone", "c/anew")
    world.write({"c/anew": {"n": 7}})
    world.run(up)
    world.change("c/since", n=10)  # what run 1 left, but written by a person
    world.change("c/back", n=0, theirs=True)

    down = world.run(up, direction="down", run_id="down")

    assert world.data() == {
        "c/a": {"n": 5, "theirs": True},
        "c/since": {"n": 10},
        "c/back": {"n": 0, "theirs": True},
        "c/anew": {"n": 7},
    }
    assert conflicts(world, "down") == {"c/since": CHANGED.format("n"), "c/gone": CHANGED.format("the document")}
    assert down.results["finish"]["counts"]["scanned"] == 5


def test_what_people_put_back_between_two_runs_stays_when_both_are_taken_back(world: World) -> None:
    """Run 1 removes `n`, run 2 adds it, a person removes it: that is as run 1 left it, and yet written by a person."""
    world.write({"c/a": {"n": 1, "k": 1}})

    def setting(value: int | None) -> Any:
        @each_document("c")
        def up(document: Document, db: Database) -> None:
            document["k"] = 2
            if value is None:
                document.pop("n", None)
            else:
                document["n"] = value

        return up

    world.run(setting(None))
    world.run(setting(2))
    world.write({"c/a": {"k": 2}})

    world.run(setting(2), direction="down", run_id="down")

    assert world.data() == {"c/a": {"k": 1}}
    assert conflicts(world, "down") == {"c/a": CHANGED.format("n")}


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


def stopped(world: World) -> int:
    """A run up that stopped half way; how far it came."""
    world.write({f"c/{n:02}": {"old": n} for n in range(40)})

    @each_document("c")
    def grow(document: Document, db: Database) -> None:
        if "bad" in document:
            db.fail("bad")
        document["more"] = True

    life = world.run(grow, up_to="review", batch_size=1)
    world.change("c/02", bad=True)
    with pytest.raises(TooManyFailures):
        life.go_on()
    came = sum("more" in data for data in world.data().values())
    assert (0 < came < 39, world.state()) == (True, "failed")
    return came


def test_a_run_that_stopped_half_way_is_taken_back_as_far_as_it_came(world: World) -> None:
    came = stopped(world)

    down = world.run(up, direction="down")

    assert world.data() == {f"c/{n:02}": {"old": n, **({"bad": True} if n == 2 else {})} for n in range(40)}
    assert down.results["finish"]["counts"]["updated"] == came
    assert world.state() == "rolled_back"


def test_a_rollback_that_stopped_half_way_is_gone_on_with_by_a_new_one(world: World) -> None:
    """What the first one has taken back is as it was; only the rest is written."""
    world.write({f"c/{n}": {"old": n} for n in range(20)})
    before = world.read()
    world.run(up)
    first = world.run(up, direction="down", up_to="review", batch_size=1, max_writes_per_second=20)
    came = stop_half_way(world, first)
    world.change("c/0", theirs=True)

    down = world.run(up, direction="down")

    assert {path: text for path, text in world.read().items() if path != "c/0"} == {
        path: text for path, text in before.items() if path != "c/0"
    }
    assert (world.data()["c/0"], conflicts(world, down.run.id)) == ({"old": 0, "theirs": True}, {})
    assert (came, down.results["finish"]["counts"]["unchanged"]) == (came, came)
    with pytest.raises(Refused, match=r"overtaken by run-3.*rollback v001"):
        first.perform("apply")


def stop_half_way(world: World, life: Life) -> int:
    """Let a run commit some batches of one document, and then lose the target; how many it committed."""
    version, run_id = life.run.version, life.run.id
    with ThreadPoolExecutor(1) as worker:
        work = worker.submit(life.perform, "apply")
        while world.audit.count_batches(version, run_id) < 3:
            assert not work.done()
        world.lease(holder="v009/other", fence=99)
        assert isinstance(work.exception(), LeaseHeld)
    world.lease(holder="", expires_at=datetime(2000, 1, 1, tzinfo=timezone.utc))
    return world.audit.count_batches(version, run_id)


def test_a_rollback_is_planned_first_and_a_dry_run_of_it_writes_nothing(world: World) -> None:
    everything(world)
    world.run(up)
    migrated = world.read()

    life = world.run(up, direction="down", mode="dry_run")

    assert life.results["review"]["counts"]["scanned"] == 13
    assert world.read() == migrated
    assert world.state() == "verified"

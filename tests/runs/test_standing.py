"""Which runs stand: a rollback can be taken back, and only what lies on top can be."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.errors import ConfigurationError, NothingToRollBack, OutOfOrder, Refused
from firestore_migrations.runs.options import Options
from tests.runs.extremes import extremes
from tests.runs.world import World


@each_document("c")
def up(document: Document, db: Database) -> None:
    document.rename("old", "new")
    document.setdefault("at", SERVER_TIMESTAMP)
    if "gone" in document:
        db.delete(document.path)
    db.create(f"twin/{document.id}", {"of": document.id})


def fill(world: World) -> None:
    fields = extremes(world.address.project)
    world.write({f"c/{n}": {"old": n, **fields} for n in range(20)} | {"c/gone": {"gone": True, **fields}})


def down(world: World, undo: str = "", **facts: Any) -> Any:
    return world.run(up, direction="down", undo=undo, **facts)


def version(world: World) -> tuple[str, float]:
    record = world.audit.versions()["v001"]
    return record["state"], record["rollout_percent"]


def test_a_rollback_is_taken_back_byte_for_byte_and_the_version_is_applied_again(world: World) -> None:
    fill(world)
    before = world.read()
    world.run(up, run_id="one")
    migrated = world.read()
    down(world, run_id="back")

    down(world, "back", run_id="again")

    assert (world.read(), version(world)) == (migrated, ("applied", 100))
    runs = world.audit.runs("v001")
    assert {name: run.get("undoes") for name, run in runs.items()} == {"one": None, "back": ["one"], "again": ["back"]}
    down(world, run_id="back-2")
    assert (world.read(), version(world)) == (before, ("rolled_back", 0))
    assert world.audit.runs("v001")["back-2"]["undoes"] == ["one"]
    down(world, "back-2")
    assert (world.read(), version(world)) == (migrated, ("applied", 100))


def test_what_people_wrote_after_the_rollback_stays_when_it_is_taken_back(world: World) -> None:
    fill(world)
    world.run(up)
    down(world, run_id="back")
    world.change("c/1", theirs=True)
    world.change("c/2", old="theirs")
    world.write({"c/late": {"old": 1}})
    world.delete("c/3")

    redo = down(world, "back")

    data = world.data()
    assert {name: data["c/1"].get(name) for name in ("old", "new", "theirs")} == {"old": None, "new": 1, "theirs": True}
    assert {name: data["c/2"].get(name) for name in ("old", "new")} == {"old": "theirs", "new": 2}
    assert (data["c/late"], "c/3" in data) == ({"old": 1}, False)
    assert redo.results["finish"]["counts"]["conflicts"] == 2

    world.change("twin/5", theirs=True)  # which the rollback had deleted, and taking it back created anew
    down(world)

    data = world.data()
    assert (data["c/1"]["old"], data["c/1"]["theirs"], data["c/2"]["old"]) == (1, True, "theirs")
    assert data["twin/5"] == {"theirs": True}


def test_a_part_of_a_rollout_is_taken_back_alone_and_brought_back(world: World) -> None:
    fill(world)
    world.run(up, rollout_percent=30, run_id="part")
    part = world.read()
    world.run(up, run_id="rest")
    whole = world.read()
    assert whole != part

    down(world, "rest", run_id="back")
    assert (world.read(), version(world)) == (part, ("partial", 30))
    down(world, "back")
    assert (world.read(), version(world)) == (whole, ("applied", 100))
    down(world, "rest")
    down(world, "part", run_id="last")
    assert version(world) == ("rolled_back", 0)
    down(world, "last")
    assert (world.read(), version(world)) == (part, ("partial", 30))


def test_after_it_was_brought_back_the_version_may_run_again(world: World) -> None:
    """New documents of the old shape are what such a run finds; the run before is not overtaken by its rollback."""
    fill(world)
    life = world.run(up)
    down(world, run_id="back")
    down(world, "back")
    world.write({"c/late": {"old": 1}})

    life.perform("verify").perform("finish")
    assert version(world) == ("applied", 100)
    world.run(up)

    assert (world.data()["c/late"]["new"], version(world)) == (1, ("verified", 100))


@pytest.mark.parametrize(
    ("undo", "refusal", "message"),
    [
        ("nobody", NothingToRollBack, r"no run 'nobody'.*history v001"),
        ("dry", NothingToRollBack, r"no run 'dry'"),
        ("refused", NothingToRollBack, r"refused of v001 has written nothing"),
        ("one", NothingToRollBack, r"one of v001 was taken back by back.*--set undo=back`"),
        ("back", Refused, r"back of v001 cannot be taken back before the newer two\..*--set undo=two`"),
    ],
)
def test_a_run_that_does_not_lie_on_top_is_refused_with_the_next_command(
    world: World, undo: str, refusal: type[Refused], message: str
) -> None:
    fill(world)
    world.run(up, run_id="dry", mode="dry_run")
    with pytest.raises(Refused):
        down(world, run_id="refused")
    world.run(up, run_id="one")
    down(world, run_id="back")
    world.run(up, run_id="two")
    before = world.read()

    with pytest.raises(refusal, match=message):
        down(world, undo, run_id="wrong")

    assert world.read() == before
    assert (world.audit.runs("v001")["wrong"]["state"], world.state()) == ("failed", "verified")


def test_bringing_a_version_back_keeps_the_order(world: World) -> None:
    world.write({"c/a": {"old": 1}})
    first, second = (world.migration(up, version=name) for name in ("v001", "v002"))
    known = ("v001", "v002")
    world.run(first, known=known)
    world.run(second, known=known)
    world.run(second, known=known, direction="down", run_id="back-2")
    world.run(first, known=known, direction="down", run_id="back-1")

    with pytest.raises(OutOfOrder, match="v002 comes after"):
        world.run(second, known=known, direction="down", undo="back-2")

    world.run(first, known=known, direction="down", undo="back-1")
    world.run(second, known=known, direction="down", undo="back-2")
    assert (world.state("v001"), world.state("v002")) == ("applied", "applied")


def test_only_a_run_down_takes_one_back() -> None:
    with pytest.raises(ConfigurationError, match="direction is down"):
        Options(undo="one")
    with pytest.raises(ConfigurationError, match="id of a run"):
        Options(direction="down", undo=7)  # type: ignore[arg-type]

"""The author's way back: asked only where both have written a field, and never over what went back by itself."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document
from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import TooManyFailures
from tests.runs.world import World

TIERS = {"pro": 3, "growth": 2}


def migration() -> Step:
    """Tiers as numbers, and a mark."""

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        if isinstance(document["tier"], str):
            document["tier"] = TIERS[document["tier"]]
        document.setdefault("mark", True)

    @up.down
    def back(document: Document, db: Database) -> None:
        document["called"] = True
        document["mark"] = "never this: it went back by itself"
        if document.get("refuse"):
            db.fail("it has no way back")
        if document.get("other"):
            db.set("other/a", {"of": document.id})
        if document.get("stamp"):
            document["at"] = SERVER_TIMESTAMP
        if document.get("drop"):
            db.delete(document.path)
        elif isinstance(document["tier"], int):
            document["tier"] = {number: name for name, number in TIERS.items()}[document["tier"]]

    return up


def fill(world: World) -> None:
    world.write({f"c/{name}": {"tier": "pro"} for name in ("plain", "elsewhere", "both", "anew", "gone")})


def failures(world: World) -> dict[str, str]:
    return {data["path"]: data["error"] for path, data in world.records().items() if "run-2/failures/" in path}


def test_it_is_asked_only_where_both_have_written_a_field(world: World) -> None:
    fill(world)

    def meanwhile() -> None:
        world.change("c/elsewhere", theirs=1)
        world.change("c/both", tier=2, theirs=1)
        world.delete("c/anew", "c/gone")
        world.write({"c/anew": {"tier": 2}})

    _, down = world.up_and_down(migration(), meanwhile)

    assert world.data() == {
        "c/plain": {"tier": "pro"},
        "c/elsewhere": {"tier": "pro", "theirs": 1},
        "c/both": {"tier": "growth", "theirs": 1, "called": True},
        "c/anew": {"tier": "growth", "mark": "never this: it went back by itself", "called": True},
    }
    assert failures(world) == {"c/gone": "conflict: the document changed since the run; left alone"}
    assert (down.results["verify"]["held"], down.results["verify"]["changed_since"]) == (4, 0)


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        ({"refuse": True}, "it has no way back"),
        ({"other": True}, "DocumentError: its `down` may change this document alone, not other/a"),
        ({"tier": 99}, "KeyError at test_reverse.py:"),
    ],
)
def test_where_it_fails_the_document_is_left_alone_and_listed(world: World, edit: dict[str, Any], error: str) -> None:
    fill(world)
    world.run(migration())
    world.change("c/both", **{"tier": 2, **edit})
    theirs = world.read()["c/both"]

    with pytest.raises(TooManyFailures, match="c/both"):
        world.run(migration(), direction="down")
    world.run(migration(), direction="down", max_failures=1, run_id="run-2")

    assert world.read().keys() == {"c/plain", "c/elsewhere", "c/both", "c/anew", "c/gone"}
    assert (world.read()["c/both"], world.data()["c/plain"]) == (theirs, {"tier": "pro"})
    (found,) = failures(world).values()
    assert found.startswith(error)


def test_it_may_stamp_and_it_may_delete_its_own_document(world: World) -> None:
    fill(world)

    def meanwhile() -> None:
        world.change("c/both", tier=2, stamp=True)
        world.change("c/anew", tier=2, drop=True)

    _, down = world.up_and_down(migration(), meanwhile)

    data = world.data()
    assert (data["c/both"].pop("at") is not None, data["c/both"]) == (
        True,
        {"tier": "growth", "stamp": True, "called": True},
    )
    assert "c/anew" not in data
    assert failures(world) == {}
    assert down.results["finish"]["counts"]["deleted"] == 1


def test_what_it_was_to_do_is_done_where_the_document_moves_once_more(world: World) -> None:
    fill(world)
    world.run(migration())
    world.change("c/both", tier=2, stamp=True)
    down = world.run(migration(), direction="down", up_to="review")

    world.change("c/both", theirs=1)
    down.go_on()

    both = world.data()["c/both"]
    assert (both.pop("at") is not None, both) == (
        True,
        {"tier": "growth", "stamp": True, "called": True, "theirs": 1},
    )


def test_a_rollback_that_is_taken_back_asks_nobody(world: World) -> None:
    """`down` says how to leave the new shape, not how to come to it."""
    fill(world)
    world.run(migration())
    world.run(migration(), direction="down")
    world.change("c/both", tier="growth")

    world.run(migration(), direction="down", undo="run-2", run_id="redo")

    assert world.data()["c/both"] == {"tier": "growth", "mark": True}
    assert world.data()["c/plain"] == {"tier": 3, "mark": True}
    errors = [data["error"] for path, data in world.records().items() if "redo/failures/" in path]
    assert errors == ["conflict: tier changed since the run; left alone"]

"""Verify: no residue, every check holds, and every written document is what was planned."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.errors import VerifyFailed
from tests.runs.world import World

SECRET = "secret-4711"


@each_document("c")
def up(document: Document, db: Database) -> None:
    document.rename("old", "new")


def found(life: Any) -> dict[str, int]:
    return {name: value for name, value in life.results["verify"].items() if name != "reads"}


NOTHING = {"residue": 0, "residue_applied": 0, "held": 0, "changed_since": 0, "born_since": 0, "checks": 0}


def test_a_check_that_fails_names_document_and_check_and_ends_as_failed(world: World) -> None:
    world.write({f"c/{n}": {"old": n, "secret": SECRET} for n in range(6)})

    @each_document("c")
    def half(document: Document, db: Database) -> None:
        document["new"] = document["old"]

    @half.verify
    def is_small(document: Document, db: Database) -> None:
        assert document["new"] < 4, document["secret"]

    @half.verify
    def has_a_name(document: Document, db: Database) -> None:
        if document.id == "0":
            db.fail("it has no name")

    life = world.begin(half)
    with pytest.raises(
        VerifyFailed, match=r"3 checks of v001 do not hold: c/0: has_a_name \(it has no name\); c/4: is_small"
    ) as failed:
        life.perform("preflight", "finish")

    assert SECRET not in str(failed.value)
    assert failed.value.facts == {"failed": 3}
    assert (world.state(), world.audit.runs("v001")[life.run.id]["state"]) == ("failed", "failed")
    listed = json.loads((life.folder.root / "verify.json").read_text())["failed_checks"]
    assert [(path, check) for path, check, *_ in listed] == [
        ("c/0", "has_a_name"),
        ("c/4", "is_small"),
        ("c/5", "is_small"),
    ]
    half.checks.clear()
    life.perform("verify", "finish")
    assert (world.state(), found(life)["held"]) == ("verified", 6)


def test_a_failed_check_of_a_script_is_found(world: World) -> None:
    @script
    def total(db: Database) -> None:
        db.set("totals/all", {"n": 1})

    @total.verify
    def is_two(db: Database) -> None:
        assert db.get("totals/all")["n"] == 2

    with pytest.raises(VerifyFailed, match=r"script: is_two \(AssertionError at test_verify.py:\d+\)"):
        world.run(total)


def test_a_check_may_read_other_documents_and_cannot_change_any(world: World) -> None:
    world.write({"c/a": {"old": 1}, "d/a": {"n": 1}})

    @each_document("c")
    def plain(document: Document, db: Database) -> None:
        document.rename("old", "new")

    @plain.verify
    def reads(document: Document, db: Database) -> None:
        assert db.get(f"d/{document.id}")["n"] == document["new"]
        document["new"] = 99
        db.set("d/a", {"n": 99})

    world.run(plain)

    assert world.data() == {"c/a": {"new": 1}, "d/a": {"n": 1}}


def test_held_and_changed_since_are_counted(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(6)})
    life = world.run(up, up_to="apply")

    world.change("c/1", theirs=1)
    world.change("c/2", new=7)
    world.change("c/3", new=3)  # what it was anyway
    world.delete("c/4")
    life.go_on()

    assert found(life) == {**NOTHING, "held": 3, "changed_since": 3}


def test_residue_is_migrated_whatever_its_place_in_the_order(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in (1, 3, 5, 7)})
    life = world.run(up, up_to="apply", batch_size=2)

    world.write({"c/0": {"old": 0}, "c/4": {"old": 4}, "c/9": {"old": 9}, "c/5": {"old": "rewritten"}})
    life.go_on()

    assert world.data() == {
        **{f"c/{n}": {"new": n} for n in (0, 1, 3, 4, 7, 9)},
        "c/5": {"new": "rewritten"},
    }
    assert found(life) == {**NOTHING, "residue_applied": 4, "held": 7}
    assert life.results["finish"]["counts"]["updated"] == 8


def test_residue_of_other_documents_counts_once(world: World) -> None:
    world.write({f"users/{n}": {"plan": n} for n in range(3)})

    @each_document("users")
    def stats(user: Document, db: Database) -> None:
        db.set(f"stats/{user.id}", {"plan": user["plan"]})

    life = world.run(stats, up_to="apply")
    world.change("users/1", plan=7)
    world.write({"users/0b": {"plan": 8}})
    life.go_on()

    assert {path: data["plan"] for path, data in world.data().items() if path.startswith("stats")} == {
        "stats/0": 0,
        "stats/0b": 8,
        "stats/1": 7,
        "stats/2": 2,
    }
    assert found(life) == {**NOTHING, "residue_applied": 2, "held": 4}


def test_residue_that_never_ends_fails_after_some_passes(world: World) -> None:
    """A migration whose mind changes between two looks, as one does that reads a clock or a file."""
    world.write({"c/a": {}})
    looks = [0]

    @each_document("c")
    def moving(document: Document, db: Database) -> None:
        document["n"] = looks[0]

    @moving.verify
    def a_look_later(document: Document, db: Database) -> None:
        looks[0] += 1

    life = world.begin(moving)
    life.perform("preflight", "apply")
    looks[0] = 1
    with pytest.raises(VerifyFailed, match="1 documents of v001 are still in the old shape after 5 passes"):
        life.perform("verify")

    assert world.state() == "failed"


def test_residue_is_looked_for_within_the_rollout_alone(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(50)})
    life = world.run(up, rollout_percent=20)
    assert found(life) == {**NOTHING, "held": life.results["finish"]["counts"]["updated"]}
    assert sum("old" in data for data in world.data().values()) == 50 - life.results["verify"]["held"]


def test_what_is_not_idempotent_has_no_residue_and_lists_what_was_born_since(world: World) -> None:
    world.write({f"c/{n}": {"n": n} for n in range(4)})

    @each_document("c", idempotent=False)
    def count(document: Document, db: Database) -> None:
        document["n"] += 1

    life = world.run(count, up_to="apply")
    world.write({"c/new": {"n": 100}})
    world.change("c/2", n=50)
    life.go_on()

    assert world.data() == {"c/0": {"n": 1}, "c/1": {"n": 2}, "c/2": {"n": 50}, "c/3": {"n": 4}, "c/new": {"n": 100}}
    assert found(life) == {**NOTHING, "held": 3, "changed_since": 1, "born_since": 1}


def test_documents_that_left_the_scope_are_looked_at_too(world: World) -> None:
    world.write({f"c/{n:04}": {"status": "old"} for n in range(700)})

    @each_document("c", where=("status", "==", "old"))
    def leave(document: Document, db: Database) -> None:
        document["status"] = "new"

    life = world.run(leave, up_to="apply")
    world.change("c/0350", status="theirs")
    life.go_on()

    assert found(life) == {**NOTHING, "held": 699, "changed_since": 1}


def test_a_new_document_that_cannot_be_planned_is_no_silent_success(world: World) -> None:
    world.write({"c/a": {"n": 1}})

    @each_document("c")
    def half(document: Document, db: Database) -> None:
        document["half"] = document["n"] / 2

    life = world.run(half, up_to="apply")
    world.write({"c/b": {"n": SECRET}})
    with pytest.raises(VerifyFailed, match=r"1 documents that v001 cannot migrate .* c/b \(TypeError") as failed:
        life.go_on()

    assert SECRET not in str(failed.value)
    counts = world.records()["v001/runs/run-1"]["counts"]
    assert (counts["scanned"], counts["updated"], counts["failed"]) == (2, 1, 1)

    world.change("c/b", n=4)
    life.perform("verify", "finish")
    assert world.data() == {"c/a": {"n": 1, "half": 0.5}, "c/b": {"n": 4, "half": 2.0}}
    counts = life.results["finish"]["counts"]
    assert (counts["scanned"], counts["updated"], counts["failed"]) == (2, 2, 0)


def test_verifying_again_finds_the_same(world: World) -> None:
    world.write({f"c/{n}": {"old": n} for n in range(3)})
    life = world.run(up)
    first = found(life)
    life.perform("verify", "finish")
    assert found(life) == first == {**NOTHING, "held": 3}
    assert world.state() == "verified"

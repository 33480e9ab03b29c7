"""Redrive: what failed is migrated when its cause is mended, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.errors import NothingToRedrive, TooManyFailures
from firestore_migrations.runs.audit import REDRIVEN
from tests.runs.world import World


@each_document("c")
def up(document: Document, db: Database) -> None:
    if isinstance(document["n"], str):
        db.fail("n is a text")
    document.setdefault("new", document["n"] * 10)


def mended(world: World) -> Any:
    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document.setdefault("new", int(document["n"]) * 10)
        document.setdefault("mended", True)

    return world.migration(up, checksum="1" * 64)


def failures(world: World, run_id: str) -> dict[str, str]:
    prefix = f"v001/runs/{run_id}/failures/"
    return {data["path"]: data["state"] for path, data in world.records().items() if path.startswith(prefix)}


def fill(world: World) -> None:
    world.write({f"c/{n:02}": {"n": n if n % 5 else str(n)} for n in range(20)})


def test_it_migrates_what_failed_and_nothing_else_after_the_file_was_mended(world: World) -> None:
    fill(world)
    world.run(up, max_failures=4, run_id="first")
    before = world.update_times()
    assert failures(world, "first") == dict.fromkeys(("c/00", "c/05", "c/10", "c/15"), "open")

    life = world.run(mended(world), redrive=True, run_id="again")

    changed = {path for path, at in world.update_times().items() if at != before[path]}
    assert changed == {"c/00", "c/05", "c/10", "c/15"}
    assert world.data()["c/05"] == {"n": "5", "new": 50, "mended": True}
    counts = life.results["finish"]["counts"]
    assert (counts["scanned"], counts["updated"], counts["failed"]) == (4, 4, 0)
    assert failures(world, "first") == dict.fromkeys(("c/00", "c/05", "c/10", "c/15"), REDRIVEN)
    version = world.audit.versions()["v001"]
    assert (version["state"], version["checksum"]) == ("verified", "1" * 64)


def test_it_says_that_the_file_was_edited(world: World) -> None:
    fill(world)
    world.run(up, max_failures=4, run_id="first")

    life = world.run(mended(world), redrive=True, run_id="again", up_to="review")

    said = (
        "redrives 4 documents that failed in first; the file was edited since first, "
        "its checksum is 1111111111111111 now"
    )
    assert said in [event["message"] for event in world.audit.events("v001", "again")]
    assert f"This run {said}." in life.folder.read("report.md").decode()


def test_what_fails_again_stays_open(world: World) -> None:
    fill(world)
    world.run(up, max_failures=4, run_id="first")
    world.change("c/05", n=5)

    life = world.run(up, redrive=True, max_failures="100%", run_id="again")

    assert world.data()["c/05"] == {"n": 5, "new": 50}
    counts = life.results["finish"]["counts"]
    assert (counts["scanned"], counts["updated"], counts["failed"]) == (4, 1, 3)
    assert failures(world, "first") == {"c/00": "open", "c/05": REDRIVEN, "c/10": "open", "c/15": "open"}


def test_a_document_that_is_gone_has_failed_no_more(world: World) -> None:
    fill(world)
    world.run(up, max_failures=4, run_id="first")
    world.delete("c/00", "c/05", "c/10", "c/15")

    world.run(up, redrive=True, run_id="again")

    assert set(failures(world, "first").values()) == {REDRIVEN}


def test_it_takes_what_failed_in_a_run_that_stopped_and_the_version_stays_failed(world: World) -> None:
    fill(world)
    with pytest.raises(TooManyFailures):
        world.run(up, run_id="first")

    world.run(mended(world), redrive=True, run_id="again")

    assert sum("new" in data for data in world.data().values()) == 4
    assert world.state() in ("failed", "pending")
    world.run(mended(world), run_id="rest")
    assert all("new" in data for data in world.data().values())
    assert world.state() == "verified"


def test_a_step_that_is_not_idempotent_can_be_redriven(world: World) -> None:
    """Its failed documents were never written, so that each is still changed exactly once."""

    def counting(*, takes_texts: bool) -> Any:
        @each_document("c", idempotent=False)
        def count(document: Document, db: Database) -> None:
            if isinstance(document["n"], str) and not takes_texts:
                db.fail("n is a text")
            document["n"] = int(document["n"]) + 1

        return count

    fill(world)
    world.run(counting(takes_texts=False), max_failures=4)
    world.run(world.migration(counting(takes_texts=True), checksum="1" * 64), redrive=True)

    assert {path: data["n"] for path, data in world.data().items()} == {f"c/{n:02}": n + 1 for n in range(20)}


def test_clearing_its_tasks_changes_nothing(world: World) -> None:
    fill(world)
    world.run(up, max_failures=4, run_id="first")
    life = world.run(mended(world), redrive=True, run_id="again")
    before, counts = world.read(), life.results["finish"]["counts"]

    life.perform("preflight", "finish")

    assert (world.read(), life.results["finish"]["counts"]) == (before, counts)


def test_a_rollback_takes_back_both_runs(world: World) -> None:
    fill(world)
    before = world.read()
    world.run(up, max_failures=4)
    world.run(mended(world), redrive=True)

    world.run(mended(world), direction="down")

    assert world.read() == before


def test_it_is_refused_where_nothing_has_failed(world: World) -> None:
    world.write({"c/a": {"n": 1}})
    with pytest.raises(NothingToRedrive, match="firestore-migrations run v001"):
        world.run(up, redrive=True)
    world.run(up)
    with pytest.raises(NothingToRedrive):
        world.run(up, redrive=True)


def test_the_failures_of_a_script_are_not_redriven(world: World) -> None:
    world.write({"c/a": {"n": 1}})

    @script
    def total(db: Database) -> None:
        db.set("total/all", {"n": sum(found.get("n") for found in db.collection("c").stream())})

    life = world.run(total, up_to="review")
    world.write({"total/all": {"theirs": True}})
    life.perform("apply").perform("finish")
    with pytest.raises(NothingToRedrive):
        world.run(total, redrive=True)

"""Documents that cannot be migrated: set aside, recorded, counted, and never in the way of the others."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import Database, Document, Increment, each_document, script
from firestore_migrations.errors import ConfigurationError, TooManyFailures
from firestore_migrations.runs.options import Options
from tests.runs.world import World

SECRET = "secret-4711"
MEGABYTE = 1024 * 1024
LONGEST_TEXT = 1_048_487


@each_document("c")
def up(document: Document, db: Database) -> None:
    if document["kind"] == "raises":
        raise ValueError(f"cannot use {document['secret']}")
    if document["kind"] == "fails":
        db.fail("it has no owner")
    if document["kind"] == "impossible value":
        document["new"] = {"when": {1, 2}}
    elif document["kind"] == "impossible update":
        db.update(f"missing/{document.id}", {"n": 1})
    document["new"] = document.get("new", 1)


KINDS = ["raises", "fails", "impossible value", "impossible update", "fine", "also fine"]


def failures(world: World) -> dict[str, dict[str, Any]]:
    return {data["path"]: data for path, data in world.records().items() if "/failures/" in path}


def five(world: World) -> None:
    world.write({f"c/{kind}": {"kind": kind, "secret": SECRET} for kind in KINDS})


def test_without_max_failures_the_review_refuses_and_nothing_is_written(world: World) -> None:
    five(world)
    before = world.read()

    with pytest.raises(TooManyFailures, match=r"4 documents of v001 .* max_failures=0") as refused:
        world.run(up)

    assert refused.value.facts == {"failed": 4}
    assert SECRET not in str(refused.value)
    assert world.read() == before
    assert world.state() == "pending"
    run = world.audit.runs("v001")["run-1"]
    assert (run["state"], run["counts"]["failed"], SECRET in str(run)) == ("failed", 4, False)


def test_with_max_failures_the_rest_is_written_and_the_failures_are_in_the_audit(world: World) -> None:
    five(world)

    life = world.run(up, max_failures=4)

    assert {path for path, data in world.data().items() if "new" in data} == {"c/fine", "c/also fine"}
    found = failures(world)
    assert {path: (data["step"], data["state"], data["row"]) for path, data in found.items()} == {
        f"c/{kind}": ("up", "open", None) for kind in KINDS[:4]
    }
    assert found["c/raises"]["error"].startswith("ValueError at test_failures.py:")
    assert found["c/fails"]["error"] == "it has no owner"
    assert found["c/impossible value"]["error"].startswith("InvalidValue: Field 'new.when'")
    assert "missing/impossible update is missing" in found["c/impossible update"]["error"]
    assert SECRET not in str(world.records())
    counts = life.results["finish"]["counts"]
    assert counts["scanned"] == counts["updated"] + counts["unchanged"] + counts["failed"] == 6
    assert life.results["finish"]["state"] == "verified"


@pytest.mark.parametrize(("limit", "passes"), [("4", True), ("50%", False), ("67%", True), (3, False), ("100%", True)])
def test_max_failures_is_a_count_or_a_share_of_the_scanned(world: World, limit: Any, passes: bool) -> None:
    five(world)
    if passes:
        world.run(up, max_failures=limit)
    else:
        with pytest.raises(TooManyFailures):
            world.run(up, max_failures=limit)
    assert ("new" in world.data()["c/fine"]) is passes


@pytest.mark.parametrize("limit", ["", "-1", "many", "1%%%x", None])
def test_a_bad_max_failures_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_failures"):
        Options(max_failures=limit)


def outgrow(document: Document) -> None:
    """Make a document that is planned, and that only the server calls invalid: one value is too long."""
    if "text" in document:
        document["text"] = document["text"].ljust(LONGEST_TEXT + 1, "y")
    document["more"] = True


def test_a_document_that_only_the_server_calls_invalid_is_set_aside_alone(world: World) -> None:
    """The server refuses the whole commit, and does not say for which document."""
    world.write({f"c/{n:02}": {"n": n} for n in range(20)})
    for path in ("c/07", "c/13"):
        world.write({path: {"n": 0, "text": "x" * LONGEST_TEXT}})
    update_times = world.update_times()

    @each_document("c")
    def grow(document: Document, db: Database) -> None:
        outgrow(document)

    life = world.run(grow, max_failures=2)

    data = world.data()
    assert {path for path in data if "more" in data[path]} == {f"c/{n:02}" for n in range(20) if n not in (7, 13)}
    assert {path for path, at in world.update_times().items() if at == update_times[path]} == {"c/07", "c/13"}
    assert {path: (found["row"], found["error"].split(":")[0]) for path, found in failures(world).items()} == {
        "c/07": (7, "InvalidArgument"),
        "c/13": (13, "InvalidArgument"),
    }
    (applied,) = life.results["apply"]
    assert (applied["writes"], applied["failed"], applied["drifted"]) == (18, 2, 0)
    assert life.results["verify"]["held"] == 18
    assert life.results["finish"]["state"] == "verified"
    assert world.run(grow, direction="down").results["finish"]["counts"]["updated"] == 18
    assert not any("more" in fields for fields in world.data().values())


def test_apply_stops_at_max_failures_and_stays_stopped(world: World) -> None:
    for n in range(4):
        world.write({f"c/{n}": {"text": "x" * LONGEST_TEXT}})
    world.write({f"c/{n}": {} for n in range(4, 8)})

    @each_document("c")
    def grow(document: Document, db: Database) -> None:
        outgrow(document)

    life = world.run(grow, up_to="review", batch_size=1, max_failures=1)
    with pytest.raises(TooManyFailures, match="max_failures=1"):
        life.perform("apply")
    with pytest.raises(TooManyFailures, match="max_failures=1"):
        life.perform("apply")

    assert world.state() == "failed"
    assert len(failures(world)) >= 2


def test_a_document_that_fails_only_when_it_is_planned_again_is_set_aside(world: World) -> None:
    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})

    @each_document("c")
    def halve(document: Document, db: Database) -> None:
        document["half"] = document["n"] / 2

    life = world.run(halve, up_to="review", max_failures=1)
    world.write({"c/a": {"n": SECRET}})
    life.go_on()

    assert world.data() == {"c/a": {"n": SECRET}, "c/b": {"n": 2, "half": 1.0}}
    found = failures(world)["c/a"]
    assert (found["row"], found["error"].split(" at ")[0]) == (0, "TypeError")
    assert SECRET not in str(world.records())


def test_failures_of_two_steps_on_one_document_are_two_failures(world: World) -> None:
    world.write({"c/a": {}})

    @each_document("c")
    def one(document: Document, db: Database) -> None:
        db.fail("one")

    @each_document("c")
    def two(document: Document, db: Database) -> None:
        db.fail("two")

    life = world.run(world.migration(one, two), max_failures=2)

    records = [data["step"] for path, data in world.records().items() if "/failures/" in path]
    assert sorted(records) == ["one", "two"]
    assert life.results["finish"]["counts"]["failed"] == 2


def test_a_failure_that_a_later_plan_of_the_run_does_not_have_is_settled(world: World) -> None:
    world.write({"c/a": {"n": "x"}, "c/b": {"n": "y"}})
    broken = {"c/a", "c/b"}

    @each_document("c")
    def mended(document: Document, db: Database) -> None:
        if document.path in broken:
            db.fail("broken")
        document["done"] = True

    life = world.begin(mended, max_failures=1)
    with pytest.raises(TooManyFailures):
        life.perform("preflight", "review")
    broken.remove("c/a")
    life.perform("dry_run", "finish")

    assert {path: found["state"] for path, found in failures(world).items()} == {"c/a": "redriven", "c/b": "open"}
    assert life.results["finish"]["counts"]["failed"] == 1
    assert world.data() == {"c/a": {"n": "x", "done": True}, "c/b": {"n": "y"}}


def test_an_increment_counts_once_even_where_the_commit_is_sent_again(world: World) -> None:
    """A batch with an invalid row is sent, probed and sent again."""
    world.write({"c/a": {"n": 1}, "c/b": {"text": "x" * LONGEST_TEXT}})

    @each_document("c", idempotent=False)
    def count(document: Document, db: Database) -> None:
        document["n"] = Increment(1)
        outgrow(document)

    world.run(count, max_failures=1)

    assert world.data()["c/a"]["n"] == 2
    assert "n" not in world.data()["c/b"]


@each_document("c")
def copy_text(document: Document, db: Database) -> None:
    if "text" in document:
        db.set(f"twin/{document.id}", {"text": document["text"], "note": "z" * 150})
        if len(document["text"]) < 600_000:
            document["copy"] = document["text"]
    document["done"] = True


def large(world: World) -> None:
    """One whose copy in the same document is too large, one whose copy in another is, and two that are fine."""
    world.write({"c/a": {"text": "x" * 524_300}})
    world.write({"c/b": {"text": "x" * LONGEST_TEXT}})
    world.write({"c/c": {"text": "\u00e9" * 200_000}, "c/d": {}})


def test_a_document_that_would_be_too_large_is_found_before_anything_is_written(world: World) -> None:
    large(world)
    before = world.read()

    with pytest.raises(TooManyFailures, match=r"2 documents of v001 .*c/a would be 1,048,670 bytes; a document takes"):
        world.run(copy_text)
    assert world.read() == before

    life = world.run(copy_text, max_failures=2)
    errors = {path: found["error"].partition(";")[0] for path, found in failures(world).items()}
    assert errors == {
        "c/a": "InvalidValue: c/a would be 1,048,670 bytes",
        "c/b": "InvalidValue: twin/b would be 1,048,704 bytes",
    }
    assert {path for path, data in world.data().items() if "done" in data or path.startswith("twin/")} == {
        "c/c",
        "c/d",
        "twin/c",
    }
    assert life.results["finish"]["state"] == "verified"


def test_a_document_that_grows_too_large_only_while_the_run_goes_on_is_set_aside(world: World) -> None:
    world.write({"c/a": {"text": "x"}, "c/b": {"text": "x"}})
    life = world.run(copy_text, up_to="review", max_failures=1)
    world.write({"c/a": {"text": "x" * 524_300}})
    life.go_on()

    assert {path for path, data in world.data().items() if "done" in data} == {"c/b"}
    assert failures(world)["c/a"]["error"].startswith("InvalidValue: c/a would be 1,048,670 bytes")


def test_a_script_leaves_out_what_would_be_too_large(world: World) -> None:
    @script
    def fill(db: Database) -> None:
        for name, size in (("small", 10), ("large", 600_000)):
            db.set(f"made/{name}", {"one": "x" * size, "two": "x" * size})

    with pytest.raises(TooManyFailures, match="made/large would be 1,200,0"):
        world.run(fill)
    assert world.data() == {}

    life = world.run(fill, max_failures=1)
    assert {path: len(data["one"]) for path, data in world.data().items()} == {"made/small": 10}
    assert life.results["finish"]["counts"]["created"] == 1

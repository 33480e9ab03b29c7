"""Hard cases: orders of events in which a write was once lost, doubled, or believed to have been made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import grpc
import pytest

from firestore_migrations import SERVER_TIMESTAMP, Database, Document, each_document, script
from firestore_migrations.errors import LeaseHeld, NothingToRedrive, Refused, VerifyFailed, WrittenTwice
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.runs.apply import Applier
from firestore_migrations.runs.committed import parts_of
from tests.runs.world import Life, World


@each_document("c", idempotent=False)
def count_up(document: Document, db: Database) -> None:
    if document.get("bad"):
        db.fail("bad")
    document["n"] += 1


@each_document("c", idempotent=False)
def count_and_log(document: Document, db: Database) -> None:
    document["n"] += 1
    db.create(f"log/{document.id}", {"n": document["n"]})


@each_document("old")
def move(document: Document, db: Database) -> None:
    db.set(f"new/{document.id}", document.to_dict())
    db.delete(document.path)


class Away(BaseException):
    """The worker is gone."""


def adds_up(life: Life) -> bool:
    counts = life.results["finish"]["counts"]
    writes = counts["created"] + counts["updated"] + counts["deleted"]
    return bool(counts["scanned"] == writes + counts["unchanged"] + counts["conflicts"] + counts["failed"])


def held_back(world: World, life: Life) -> list[list[bytes]]:
    """Apply until the first commit of documents, which stays on its way while the worker is gone; `finish` follows."""
    applier = Applier(life.run, Writer(world.address), Reader(world.address))
    commits: list[list[bytes]] = []

    def hold(writes: Any, timeout: float) -> int:
        writes = list(writes)
        if any(b"/batches/" in write for write in writes):
            commits.append(writes)
            raise Away
        return Writer.commit(applier._writer, writes, timeout)

    applier._writer.commit = hold  # type: ignore[method-assign]
    with pytest.raises(Away):
        applier.send(parts_of(life.folder)[0])
    life.perform("finish")
    return commits


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_what_one_call_writes_is_one_commit_however_small_a_batch_may_be(world: World, batch_size: int) -> None:
    world.write({f"c/{n}": {"n": 0} for n in range(5)} | {f"old/{n}": {"n": n} for n in range(3)})
    world.run(world.migration(count_and_log, version="v001"), batch_size=batch_size)
    world.run(world.migration(move, version="v002"), batch_size=batch_size)
    assert world.data() == {
        **{f"c/{n}": {"n": 1} for n in range(5)},
        **{f"log/{n}": {"n": 1} for n in range(5)},
        **{f"new/{n}": {"n": n} for n in range(3)},
    }


def test_a_call_of_more_writes_than_a_batch_has_is_one_commit(world: World) -> None:
    @each_document("c", idempotent=False)
    def explode(document: Document, db: Database) -> None:
        document["n"] += 1
        for number in range(600):
            db.create(f"log/{document.id}-{number}", {"n": document["n"]})

    world.write({f"c/{n}": {"n": 0} for n in range(2)})
    life = world.run(explode)
    assert ({data["n"] for data in world.data().values()}, len(world.data())) == ({1}, 1202)
    assert life.results["apply"][0]["batches"] == 2


def test_a_document_that_two_calls_create_is_created_once_when_one_of_them_is_made_again(world: World) -> None:
    @each_document("c")
    def tag(document: Document, db: Database) -> None:
        document["tagged"] = True
        db.create("tags/shared", {"x": 1})

    world.write({f"c/{n}": {} for n in range(4)})
    life = world.run(tag, up_to="review")
    world.change("c/2", theirs=1)
    life.go_on()
    assert world.data()["c/2"] == {"theirs": 1, "tagged": True}
    assert (world.data()["tags/shared"], life.results["finish"]["counts"]["conflicts"]) == ({"x": 1}, 0)


def test_a_redrive_that_fails_after_its_writes_is_not_made_again_by_another(world: World) -> None:
    holds: list[bool] = []

    @each_document("c", idempotent=False)
    def count(document: Document, db: Database) -> None:
        if document.id == "3" and not holds:
            db.fail("not yet")
        document["n"] += 1

    @count.verify
    def check(document: Document, db: Database) -> None:
        assert holds != [False]

    world.write({f"c/{n}": {"n": 0} for n in range(5)})
    world.run(count, max_failures=1)
    holds.append(False)
    with pytest.raises(VerifyFailed):
        world.run(count, redrive=True)
    holds[:] = [True]
    with pytest.raises(NothingToRedrive):
        world.run(count, redrive=True)
    assert {data["n"] for data in world.data().values()} == {1}


def test_what_a_redrive_did_can_be_redriven_when_it_was_taken_back(world: World) -> None:
    world.write({"c/a": {"n": 0}, "c/b": {"n": 0, "bad": True}})
    world.run(count_up, max_failures=1)
    world.change("c/b", bad=False)
    world.run(count_up, redrive=True, run_id="again")
    world.run(count_up, direction="down", undo="again")
    assert world.data()["c/b"]["n"] == 0

    world.run(count_up, redrive=True)

    assert {path: data["n"] for path, data in world.data().items()} == {"c/a": 1, "c/b": 1}


def test_a_dry_run_of_a_rollback_does_not_keep_a_run_from_going_on(world: World) -> None:
    world.write({f"c/{n}": {"n": 0} for n in range(4)})
    life = world.run(count_up, up_to="review", batch_size=1)
    life.perform("apply").perform("finish")
    world.run(count_up, direction="down", mode="dry_run")
    life.perform("verify", "finish")
    assert (world.state(), {data["n"] for data in world.data().values()}) == ("verified", {1})


def test_a_run_from_which_a_rollback_has_begun_says_so_instead_of_ending_as_verified(world: World) -> None:
    world.write({f"c/{n}": {"n": 0} for n in range(4)})
    life = world.run(count_up, up_to="review", batch_size=1)
    held_back(world, life)
    world.writer.commit([], timeout=30)
    world.run(count_up, up_to="preflight", run_id="other").perform("finish")
    with pytest.raises(Refused, match="other has gone on from where it stopped"):
        life.perform("apply")
    assert {data["n"] for data in world.data().values()} == {0}


@pytest.mark.parametrize("goes_on", ["run", "redrive"])
def test_a_commit_that_arrives_when_another_run_went_on_is_refused(world: World, goes_on: str) -> None:
    world.write({"c/a": {"n": 0}, "c/b": {"n": 0, "bad": goes_on == "redrive"}})
    if goes_on == "redrive":
        world.run(count_up, max_failures=1)
        world.change("c/b", bad=False)
    options = {"redrive": goes_on == "redrive"}
    commits = held_back(world, world.run(count_up, up_to="review", **options))

    second = world.run(count_up, up_to="review", **options)
    with pytest.raises(grpc.RpcError) as refused:
        world.writer.commit(commits[0], timeout=30)
    second.go_on()

    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert {data["n"] for data in world.data().values()} == {1}


def test_the_counts_of_a_script_add_up_when_its_documents_move(world: World) -> None:
    @script
    def mark(db: Database) -> None:
        for found in db.collection("c").stream():
            if found.to_dict().get("v") != 1:
                found.reference.update({"v": 1})

    world.write({f"c/{n}": {"v": 0} for n in range(4)})
    life = world.run(mark, up_to="review")
    world.change("c/2", theirs=1)
    world.change("c/3", v=1)
    life.go_on()
    assert adds_up(life)
    assert life.results["finish"]["counts"]["unchanged"] == 1


@pytest.mark.parametrize("cleared", ["review", "dry_run", "preflight"])
def test_what_failed_in_apply_stays_a_failure_when_earlier_tasks_are_cleared(world: World, cleared: str) -> None:
    world.write({f"c/{n}": {"n": 0} for n in range(4)})
    life = world.run(count_up, up_to="review", max_failures=1)
    world.change("c/2", bad=True)
    life.go_on()
    life.perform(cleared, "finish")
    assert adds_up(life)
    assert life.results["finish"]["counts"]["failed"] == 1


def test_what_could_not_be_planned_again_is_migrated_by_verify_once_it_is_mended(world: World) -> None:
    @each_document("c")
    def half(document: Document, db: Database) -> None:
        document["half"] = document["n"] / 2

    world.write({f"c/{n}": {"n": n} for n in range(3)})
    life = world.run(half, up_to="review", max_failures=1)
    world.change("c/1", n="a text")
    life.perform("apply")
    world.change("c/1", n=8)
    life.go_on()
    assert (world.data()["c/1"], adds_up(life)) == ({"n": 8, "half": 4.0}, True)


def rename(name: str) -> Any:
    @each_document("users")
    def rename(document: Document, db: Database) -> None:
        document.rename("name", "fullName")

    return rename


def statistics() -> Any:
    @each_document("users")
    def statistics(document: Document, db: Database) -> None:
        db.create(f"stats/{document.id}", {"name": document.get("name")})

    return statistics


def test_a_document_that_one_step_reads_and_another_changes_is_refused_by_name(world: World) -> None:
    world.write({"users/a": {"name": "Ada"}})
    before = world.read()
    with pytest.raises(WrittenTwice, match=r"users/a, by 'rename' and 'statistics'.*two versions"):
        world.run(world.migration(statistics(), rename("name")))
    assert world.read() == before


def test_such_a_document_is_refused_too_when_it_is_born_while_the_run_goes_on(world: World) -> None:
    life = world.run(world.migration(statistics(), rename("name")), up_to="review")
    world.write({"users/a": {"name": "Ada"}})
    with pytest.raises(WrittenTwice, match="users/a"):
        life.go_on()
    assert world.data() == {"users/a": {"name": "Ada"}}


def during(world: World, hook: Callable[[], None]) -> Any:
    hooks = [hook]

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document["new"] = 1

    @up.verify
    def a_moment_of_verify(document: Document, db: Database) -> None:
        if world.audit.versions()["v001"]["state"] == "verified" and hooks:
            hooks.pop()()

    return up


def test_nothing_is_taken_back_while_a_run_is_verified_again(world: World) -> None:
    """The verdict would be of data that are no more."""
    world.write({"c/a": {"n": 1}})
    refused: list[LeaseHeld] = []

    def take_back() -> None:
        with pytest.raises(LeaseHeld) as held:
            world.run(step, direction="down")
        refused.append(held.value)

    step = during(world, take_back)
    life = world.run(step)
    life.perform("verify", "finish")

    assert (len(refused), world.state(), world.data()) == (1, "verified", {"c/a": {"n": 1, "new": 1}})
    world.run(step, direction="down")
    assert world.data() == {"c/a": {"n": 1}}


def test_statistics_are_never_made_of_a_user_who_has_changed_or_gone(world: World) -> None:
    world.write({f"users/{n}": {"name": f"N{n}"} for n in range(4)})
    life = world.run(statistics(), up_to="review")
    world.change("users/1", name="other")
    world.delete("users/2")
    life.go_on()
    found = {path: data["name"] for path, data in world.data().items() if path.startswith("stats/")}
    assert found == {"stats/0": "N0", "stats/1": "other", "stats/3": "N3"}
    assert adds_up(life)


@pytest.mark.parametrize("seconds", [0.5, 20])
def test_a_time_of_their_own_that_people_wrote_over_the_servers_stays(world: World, seconds: float) -> None:
    @each_document("c")
    def stamp(document: Document, db: Database) -> None:
        document.setdefault("at", SERVER_TIMESTAMP)

    world.write({"c/a": {"n": 1}, "c/b": {"n": 1}})
    world.run(stamp)
    committed = world.update_times()["c/a"]
    theirs = datetime.fromtimestamp(committed / 1_000_000 - seconds, tz=timezone.utc)
    world.change("c/a", at=theirs)
    world.change("c/b", theirs=True)

    down = world.run(stamp, direction="down")

    assert world.data() == {"c/a": {"n": 1, "at": theirs}, "c/b": {"n": 1, "theirs": True}}
    assert down.results["finish"]["counts"]["conflicts"] == 1

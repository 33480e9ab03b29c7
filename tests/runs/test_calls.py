"""What one call of a step writes belongs together, and is written from the document that the call was made with."""

from __future__ import annotations

from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import ChecksumChanged, NotIdempotent, OutOfOrder, Refused, TooManyFailures
from firestore_migrations.firestore import size
from firestore_migrations.runs.phases import perform
from tests.runs.world import World


@each_document("old")
def move(document: Document, db: Database) -> None:
    db.set(f"new/{document.id}", document.to_dict())
    db.delete(document.path)


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["v"] = 1


def test_a_document_that_changes_while_it_is_moved_arrives_as_it_is_now(world: World) -> None:
    world.write({"old/a": {"balance": 1}, "old/b": {"balance": 2}})
    life = world.begin(move).perform("preflight", "review")
    world.change("old/a", balance=999)
    life.go_on()
    assert world.data() == {"new/a": {"balance": 999}, "new/b": {"balance": 2}}
    assert life.results["finish"]["counts"]["drifted"] == 2


def test_a_document_that_is_deleted_while_it_is_moved_stays_deleted(world: World) -> None:
    world.write({"old/a": {"balance": 1}, "old/b": {"balance": 2}})
    life = world.begin(move).perform("preflight", "review")
    world.delete("old/a")
    life.go_on()
    assert world.data() == {"new/b": {"balance": 2}}


@pytest.mark.parametrize("tolerated", [0, 1])
def test_a_document_whose_copy_cannot_be_written_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch, tolerated: int
) -> None:
    monkeypatch.setattr(size, "MOST_BYTES", 2_000_000)  # as if only the server knew that it is too large

    @each_document("old")
    def grow(document: Document, db: Database) -> None:
        db.set(f"moved_to_a_longer_name/{document.id}", {**document, "note": "n" * 600})
        db.delete(document.path)

    world.write({"old/a": {"t": "x" * 1_048_000}, "old/b": {"t": "y"}})
    life = world.begin(grow, max_failures=tolerated).perform("preflight", "review")
    if tolerated:
        life.go_on()
    else:
        with pytest.raises(TooManyFailures):
            life.go_on()
    assert sorted(world.data()) == ["moved_to_a_longer_name/b", "old/a"]


def test_a_call_is_never_cut_between_two_commits(world: World) -> None:
    world.write({f"old/{number}": {"n": number} for number in range(7)})
    life = world.run(move, batch_size=3, up_to="review")
    perform(life.run, "apply", 0)
    records = [record for path, record in world.records().items() if "/batches/" in path]
    assert [record["writes"] for record in records] == [2] * 7
    assert world.data() == {f"new/{number}": {"n": number} for number in range(7)}


def test_a_value_that_two_documents_share_is_taken_as_it_was_for_each(world: World) -> None:
    shared: dict[str, Any] = {"to": ""}

    @each_document("c")
    def notify(document: Document, db: Database) -> None:
        document["notify"] = shared
        document["notify"]["to"] = document["email"]

    world.write({f"c/{name}": {"email": f"{name}@example.com"} for name in "ab"})
    world.run(notify)
    assert {path: data["notify"]["to"] for path, data in world.data().items()} == {
        "c/a": "a@example.com",
        "c/b": "b@example.com",
    }


def test_what_to_dict_gives_is_a_copy(world: World) -> None:
    @each_document("c")
    def publish(document: Document, db: Database) -> None:
        public = document.to_dict()
        public["prefs"].pop("secret", None)
        db.set(f"public/{document.id}", public)

    world.write({"c/a": {"prefs": {"secret": 1, "dark": True}}})
    world.run(publish)
    assert world.data() == {
        "c/a": {"prefs": {"secret": 1, "dark": True}},
        "public/a": {"prefs": {"dark": True}},
    }


def test_a_step_that_adds_to_its_own_scope_is_refused_before_it_runs_away(world: World) -> None:
    @each_document("c")
    def copy(document: Document, db: Database) -> None:
        db.create(f"c/{document.id}-copy", {"n": 1})

    world.write({"c/a": {"n": 1}})
    with pytest.raises(NotIdempotent, match="a-copy-copy"):
        world.run(copy)
    assert world.data() == {"c/a": {"n": 1}}


@pytest.mark.parametrize("phase", ["apply", "verify"])
def test_code_that_nobody_reviewed_writes_nothing(world: World, phase: str) -> None:
    world.write({"c/a": {"n": 1}})
    life = world.begin(mark).perform("preflight", "review" if phase == "apply" else "apply")
    before = world.data()

    @each_document("c")
    def erase(document: Document, db: Database) -> None:
        db.delete(document.path)

    edited = world.begin(world.migration(erase, checksum="1" * 64), run_id=life.run.id)
    edited._shards = [0]
    with pytest.raises(ChecksumChanged):
        edited.perform(phase)
    assert world.data() == before


def test_a_run_that_was_taken_back_writes_nothing_more(world: World) -> None:
    world.write({"c/a": {"n": 1}})
    up, _ = world.up_and_down(mark)
    for phase in ("apply", "verify"):
        with pytest.raises(Refused, match="was taken back by run-2"):
            up.perform(phase)
    assert (world.data(), world.state()) == ({"c/a": {"n": 1}}, "rolled_back")


def test_nothing_is_written_beneath_a_later_version(world: World) -> None:
    @each_document("c")
    def rename(document: Document, db: Database) -> None:
        document.rename("v", "w")

    world.write({"c/a": {"n": 1}})
    first = world.run(world.migration(mark))
    world.run(world.migration(rename, version="v002"))
    with pytest.raises(OutOfOrder, match="v002"):
        world.run(world.migration(mark))
    with pytest.raises(OutOfOrder, match="v002"):
        first.perform("verify")
    assert world.data() == {"c/a": {"n": 1, "w": 1}}


@pytest.mark.parametrize("error", [SystemExit("ada@example.com"), GeneratorExit("ada@example.com")])
def test_whatever_a_transform_raises_is_a_failure_that_quotes_nothing(world: World, error: BaseException) -> None:
    @each_document("c")
    def leave(document: Document, db: Database) -> None:
        raise error

    world.write({"c/a": {"n": 1}})
    with pytest.raises(TooManyFailures) as refused:
        world.run(leave)
    assert type(error).__name__ in str(refused.value)
    assert "example.com" not in f"{refused.value}{world.records()}"


def test_a_field_that_cannot_be_named_is_a_failure_of_its_document(world: World) -> None:
    @each_document("c")
    def name_badly(document: Document, db: Database) -> None:
        if document["n"] == 1:
            document["\ud800"] = 1

    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})
    life = world.run(name_badly, max_failures=1)
    assert life.results["finish"]["counts"]["failed"] == 1


def test_a_check_that_returns_false_fails(world: World) -> None:
    @each_document("c")
    def up(document: Document, db: Database) -> None:
        document["v"] = 1

    @up.verify
    def is_two(document: Document, db: Database) -> bool:
        return bool(document["v"] == 2)

    world.write({"c/a": {"n": 1}})
    with pytest.raises(Exception, match="is_two"):
        world.run(up)

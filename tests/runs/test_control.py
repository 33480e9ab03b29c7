"""pause, resume and cancel, from outside of the run: nothing is written past them, and nothing is lost by them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import (
    FirestoreMigrationsError,
    IllegalTransition,
    LeaseHeld,
    Refused,
    RunCancelled,
    RunPaused,
)
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.control import PAUSABLE, RESUMABLE, UNFINISHED, cancel, pause, resume
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.meant import find_run
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.run import instant
from tests.runs.world import Life, World

IN_TWO_FLIGHTS = 2


@each_document("c", idempotent=False)
def count(document: Document, db: Database) -> None:
    document["n"] += 1


@each_document("c")
def mark(document: Document, db: Database) -> None:
    document["m"] = 1


@pytest.fixture
def here(world: World) -> World:
    world.write({f"c/{number:02}": {"n": 0} for number in range(40)})
    return world


class Worker:
    """The `apply` of a run on a thread of its own, slow enough to be met at work."""

    def __init__(self, life: Life) -> None:
        self.error: Exception | None = None
        self._life = life
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def join(self) -> Exception | None:
        self._thread.join(60)
        return self.error

    def _work(self) -> None:
        try:
            perform(self._life.run, "apply", 0)
        except FirestoreMigrationsError as error:
            self.error = error


def at_work(world: World, what: Any = count, **facts: Any) -> tuple[Life, Worker]:
    """A run whose worker has committed a few batches of one document, and goes on."""
    life = world.run(what, up_to="review", run_id="run", batch_size=1, max_writes_per_second=20, **facts)
    worker = Worker(life)
    until(lambda: batches(world) >= 3)
    return life, worker


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline


def batches(world: World) -> int:
    return world.audit.count_batches("v001", "run")


def told(world: World, verb: Callable[..., Any], run_id: str = "run") -> Any:
    return verb(Ledger(world.writer), RunName("v001", run_id), "bob")


def total(world: World) -> int:
    return sum(data["n"] for data in world.data().values())


def free(world: World) -> None:
    """As if half a minute had passed since the target was taken away."""
    world.lease(expires_at=instant(world.writer.get(["_migrations/_lease"])[1]))


def test_a_paused_run_stops_within_two_batches_and_goes_on_where_it_stopped(here: World) -> None:
    life, worker = at_work(here)

    paused = told(here, pause)
    written = batches(here)
    assert isinstance(worker.join(), RunPaused)

    event = next(event for event in here.audit.events("v001", "run") if event["task"] == "pause")
    assert (paused.before, paused.state, here.state()) == ("applying", "paused", "paused")
    assert (event["by"], event["message"], event["state"]) == ("bob", "paused by bob", "paused")
    assert batches(here) - written <= IN_TWO_FLIGHTS
    assert 0 < total(here) == batches(here) < 40
    told(here, resume)
    assert here.state() == "applying"
    life.go_on()
    assert (total(here), here.state()) == (40, "verified")


def test_only_resume_lets_a_paused_run_go_on_whatever_task_is_tried_again(here: World) -> None:
    life, worker = at_work(here)
    told(here, pause)
    worker.join()
    written, events = batches(here), here.audit.events("v001", "run")
    before = here.audit.runs("v001")["run"]

    for phase, shard in (("apply", 0), ("apply", 0), ("verify", None)):
        with pytest.raises(RunPaused, match=r"run is paused.*`firestore-migrations resume`"):
            perform(life.run, phase, shard)

    assert (batches(here), here.audit.events("v001", "run")) == (written, events)
    assert here.audit.runs("v001")["run"] == before


def test_a_paused_run_keeps_its_target_while_its_tasks_are_tried_again(here: World) -> None:
    life, worker = at_work(here)
    told(here, pause)
    worker.join()
    here.lease(expires_at=instant(here.writer.get(["_migrations/_lease"])[1]) + timedelta(seconds=1))
    with pytest.raises(RunPaused):
        perform(life.run, "apply", 0)
    free_in = here.records()["_lease"]["expires_at"] - instant(here.writer.get(["_migrations/_lease"])[1])
    assert free_in > timedelta(minutes=4)
    with pytest.raises(LeaseHeld, match="v001/run holds"):
        here.run(mark, run_id="other")


def test_a_run_that_is_paused_before_its_other_shards_began_is_not_unpaused_by_them(here: World) -> None:
    life, worker = at_work(here)
    told(here, pause)
    worker.join()
    with pytest.raises(RunPaused):
        here.audit.record_writing(life.run, "applying")
    assert here.state() == "paused"


def test_a_paused_run_whose_dag_run_has_ended_stays_paused_and_is_resumed_by_its_cleared_task(here: World) -> None:
    life, worker = at_work(here)
    told(here, pause)
    worker.join()
    assert perform(life.run, "finish")["state"] == "paused"
    assert (here.records()["_lease"]["holder"], here.state()) == ("", "paused")

    assert told(here, resume).has_ended
    life.go_on()

    assert (total(here), here.state()) == (40, "verified")


def test_a_cancelled_run_stops_within_two_batches_and_never_writes_again(here: World) -> None:
    life, worker = at_work(here)

    told(here, cancel)
    written = batches(here)
    assert isinstance(worker.join(), RunCancelled)

    data = here.audit.runs("v001")["run"]
    assert batches(here) - written <= IN_TWO_FLIGHTS
    assert (data["state"], data["cancelled_by"], data["error"]) == ("failed", "bob", "Cancelled: by bob")
    free(here)
    after = here.read()
    for phase, shard in (("preflight", None), ("backup", 0), ("review", None), ("apply", 0), ("verify", None)):
        with pytest.raises(RunCancelled, match="run was cancelled by bob"):
            perform(life.run, phase, shard)
    assert (here.read(), here.records()["_lease"]["holder"]) == (after, "")
    life.perform("finish")
    assert life.results["finish"]["counts"]["updated"] == total(here)
    assert here.audit.runs("v001")["run"]["error"] == "Cancelled: by bob"


def test_after_a_cancelled_run_a_new_one_migrates_what_is_left(here: World) -> None:
    life, worker = at_work(here, mark)
    told(here, cancel)
    worker.join()
    life.perform("finish")
    written = batches(here)
    free(here)
    new = here.run(mark)
    assert (new.results["finish"]["counts"]["updated"], here.state()) == (40 - written, "verified")


def test_what_a_cancelled_run_has_written_is_taken_back(here: World) -> None:
    before = here.read()
    life, worker = at_work(here)
    told(here, cancel)
    worker.join()
    life.perform("finish")
    assert here.read() != before
    free(here)
    with pytest.raises(Refused, match=r"run run has written .* Take it back with `firestore-migrations rollback v001`"):
        here.run(count)
    here.run(count, direction="down")
    assert (here.read(), here.state()) == (before, "rolled_back")


def test_a_rollback_is_paused_and_resumed_as_a_rollback(here: World) -> None:
    before = here.read()
    here.run(count)
    life, worker = at_work(here, direction="down")
    told(here, pause)
    assert isinstance(worker.join(), RunPaused)
    assert (told(here, resume).state, here.state()) == ("rolling_back", "rolling_back")
    life.go_on()
    assert (here.read(), here.state()) == (before, "rolled_back")


@pytest.mark.parametrize("up_to", ["preflight", "review"])
def test_a_run_that_writes_nothing_yet_is_cancelled_at_once_and_not_paused(here: World, up_to: str) -> None:
    life = here.run(count, up_to=up_to, run_id="run")
    with pytest.raises(IllegalTransition, match=r"cannot be paused\. .*`firestore-migrations cancel v001`"):
        told(here, pause)
    told(here, cancel)
    with pytest.raises(RunCancelled):
        life.go_on()
    assert here.audit.versions()["v001"]["state"] == "pending"
    here.run(count)
    assert total(here) == 40


def test_a_run_of_an_older_worker_goes_on_only_while_nobody_else_holds_the_target(here: World) -> None:
    life, worker = at_work(here)
    told(here, pause)
    worker.join()
    life.perform("finish")
    here.run(mark, mode="dry_run", run_id="other")
    here.begin(mark, mode="dry_run", run_id="third").perform("preflight")
    with pytest.raises(LeaseHeld, match="v001/third"):
        told(here, resume)
    assert here.state() == "paused"


@pytest.mark.parametrize("verb", [pause, resume, cancel])
def test_a_run_that_has_ended_is_left_alone(here: World, verb: Callable[..., Any]) -> None:
    here.run(mark, run_id="run")
    before = here.records()
    with pytest.raises(IllegalTransition, match=r"is verified; it cannot be .* history v001"):
        told(here, verb)
    with pytest.raises(Refused, match="no run gone of v001"):
        told(here, verb, "gone")
    assert here.records() == before


@pytest.mark.parametrize(("verb", "state"), [(pause, "paused"), (cancel, "failed")])
def test_a_verb_said_twice_is_said_once(here: World, verb: Callable[..., Any], state: str) -> None:
    _, worker = at_work(here)
    told(here, verb)
    worker.join()
    before = here.records()
    again = told(here, verb)
    assert (again.before, again.state, here.records()) == (state, state, before)


def test_the_run_that_is_meant_is_the_one_at_work_or_the_paused_one(here: World) -> None:
    ledger = Ledger(here.writer)
    with pytest.raises(Refused, match=r"No run is at work .* status"):
        find_run(ledger, PAUSABLE)
    here.run(mark, run_id="before", mode="dry_run")
    life, worker = at_work(here)
    run = RunName("v001", "run")
    assert find_run(ledger, PAUSABLE) == find_run(ledger, UNFINISHED, "v001") == run
    told(here, pause)
    worker.join()
    life.perform("finish")
    assert find_run(ledger, RESUMABLE) == find_run(ledger, UNFINISHED) == run
    told(here, cancel)
    with pytest.raises(Refused, match="No run is at work"):
        find_run(ledger, UNFINISHED)
    assert find_run(ledger, RESUMABLE, "v001") == run
    with pytest.raises(Refused, match=r"No run of v009 .* history v009"):
        find_run(ledger, PAUSABLE, "v009")

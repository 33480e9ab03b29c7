"""The lease: one run at a time writes to a target, and whoever lost it writes nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import LeaseHeld
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.control import cancel
from firestore_migrations.runs.holder import COMMIT_SECONDS, holder
from firestore_migrations.runs.lease import SECONDS, Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.run import instant
from firestore_migrations.runs.unlock import unlock
from tests.runs.world import World


@each_document("c")
def up(document: Document, db: Database) -> None:
    document["n"] = 1


@pytest.fixture
def here(world: World) -> World:
    world.write({"c/a": {}, "c/b": {}})
    return world


def lease(world: World) -> dict[str, Any]:
    return world.records()["_lease"]


def server_time(world: World) -> datetime:
    return instant(world.writer.get(["_migrations/_lease"])[1])


def leases(world: World, *names: str, clock: Callable[[], float] = time.monotonic) -> list[Lease]:
    return [Lease(Ledger(world.writer), f"v001/{name}", clock=clock) for name in names]


def test_a_second_run_is_refused_naming_the_holder_its_age_and_where_to_look(here: World) -> None:
    first = here.run(up, up_to="preflight", run_id="first")
    here.lease(since=server_time(here) - timedelta(minutes=3, seconds=1))
    before = here.read(), here.update_times()
    second = here.begin(up, run_id="second")

    with pytest.raises(LeaseHeld) as refused:
        second.perform("preflight")

    text = str(refused.value)
    assert "Run v001/first holds the target since 20" in text
    assert " UTC, for 3 minutes, and until 20" in text
    assert "`firestore-migrations history v001 --events`" in text
    assert "`firestore-migrations unlock`" in text
    assert refused.value.facts["holder"] == "v001/first"
    assert (here.read(), here.update_times()) == before
    assert here.audit.runs("v001")["second"]["error"] == f"LeaseHeld: {text}"
    first.go_on()
    here.run(up, run_id="third")


def test_a_lease_that_ran_out_is_taken_over_and_the_audit_tells_it_of_the_run_that_lost_it(here: World) -> None:
    first = here.run(up, up_to="review", run_id="first")
    here.audit.record(first.run, "apply", "began to write", "applying")
    fence = lease(here)["fence"]
    here.lease(expires_at=server_time(here) - timedelta(seconds=1))

    second = here.run(up, run_id="second", up_to="preflight")

    why = "its lease ran out; v001/second took the target over"
    lost = here.audit.runs("v001")["first"]
    *_, event, _ = here.audit.events("v001", "first")  # the last one says that it commits nothing more
    assert (lease(here)["holder"], lease(here)["fence"]) == ("v001/second", fence + 1)
    assert (lost["state"], lost["error"], here.state()) == ("failed", f"LeaseLost: {why}", "failed")
    assert (event["task"], event["message"], event["by"], event["state"]) == ("lease", why, "v001/second", "failed")
    with pytest.raises(LeaseHeld, match="v001/second"):
        perform(first.run, "apply", 0)
    assert here.data() == {"c/a": {}, "c/b": {}}
    second.go_on()
    assert (here.state(), here.data()) == ("verified", {"c/a": {"n": 1}, "c/b": {"n": 1}})


def test_a_run_that_has_ended_keeps_its_state_when_its_lease_is_taken_over(here: World) -> None:
    first = here.run(up, run_id="first")
    here.lease(holder="v001/first", expires_at=server_time(here))
    here.run(up, run_id="second")
    assert here.audit.runs("v001")["first"]["state"] == first.results["finish"]["state"] == "verified"


def test_a_refused_run_does_not_take_the_lease_from_whoever_has_it(here: World) -> None:
    here.run(up, up_to="preflight", run_id="first")
    held = lease(here)
    second = here.begin(up, run_id="second")
    with pytest.raises(LeaseHeld):
        second.perform("preflight")
    second.perform("finish")
    assert lease(here) == held


def test_a_permit_renews_the_lease_when_a_third_of_it_is_gone(here: World) -> None:
    (mine,) = leases(here, "mine")
    mine.acquire()
    first = lease(here)

    assert mine.permit() == COMMIT_SECONDS
    assert lease(here) == first
    here.lease(expires_at=server_time(here) + timedelta(seconds=SECONDS * 2 / 3 - 1))
    assert mine.permit() == COMMIT_SECONDS
    renewed = lease(here)
    assert renewed["expires_at"] > first["expires_at"]
    assert {**renewed, "expires_at": 0} == {**first, "expires_at": 0}


def test_a_process_that_stood_still_between_two_looks_asks_again_before_it_commits(here: World) -> None:
    """What was read before it stood still says nothing about now."""
    asked = iter([0.0, SECONDS * 10.0])
    (mine,) = leases(here, "mine", clock=lambda: next(asked, SECONDS * 10.0))
    mine.acquire()
    assert mine.permit() == COMMIT_SECONDS
    assert next(asked, None) is None


@pytest.mark.parametrize("gave_it_back", [True, False])
def test_a_lease_that_another_run_had_meanwhile_is_lost_for_good(here: World, gave_it_back: bool) -> None:
    mine, theirs = leases(here, "mine", "theirs")
    mine.acquire()
    here.lease(expires_at=server_time(here))
    theirs.acquire()
    if gave_it_back:
        theirs.release()

    with pytest.raises(LeaseHeld, match="v001/mine lost the target"):
        mine.permit()
    mine.release()
    assert lease(here)["holder"] == ("" if gave_it_back else "v001/theirs")


def test_a_lease_that_the_same_run_took_again_with_another_fence_is_lost_to_its_old_worker(here: World) -> None:
    old, new = leases(here, "mine", "mine")
    old.acquire()
    unlock(Ledger(here.writer), "bob", surely=True)
    here.lease(expires_at=server_time(here))
    new.acquire()
    with pytest.raises(LeaseHeld):
        old.permit()
    assert (new.permit(), new.fence) == (COMMIT_SECONDS, old.fence + 2)


def test_whoever_acquires_at_once_one_gets_it(here: World) -> None:
    def attempt(mine: Lease) -> int | None:
        with suppress(LeaseHeld):
            mine.acquire()
            return mine.fence
        return None

    with ThreadPoolExecutor(8) as threads:
        fences = list(threads.map(attempt, leases(here, *"abcdefgh")))

    assert sorted(fence for fence in fences if fence is not None) == [1]


def test_many_workers_of_one_run_are_all_permitted_while_they_renew_at_once(here: World) -> None:
    workers = leases(here, *["mine"] * 8)
    for worker in workers:
        worker.acquire()
    here.lease(expires_at=server_time(here) + timedelta(seconds=20))
    with ThreadPoolExecutor(8) as threads:
        permits = list(threads.map(lambda worker: worker.permit(), workers))
    assert permits == [COMMIT_SECONDS] * 8


def test_a_phase_keeps_the_lease_however_long_it_works(here: World) -> None:
    life = here.run(up, up_to="preflight", run_id="slow")
    here.lease(expires_at=server_time(here) + timedelta(seconds=1))
    life.go_on("dry_run")
    assert lease(here)["expires_at"] > server_time(here) + timedelta(seconds=SECONDS / 2)


def test_a_phase_does_not_take_back_a_lease_that_another_run_has(here: World) -> None:
    life = here.run(up, up_to="preflight", run_id="slow")
    unlock(Ledger(here.writer), "bob", surely=True)
    before = lease(here)
    life.go_on("dry_run")
    assert lease(here) == before


def test_unlock_stops_the_worker_for_good_and_says_who_did_it(here: World) -> None:
    life = here.run(up, up_to="review", run_id="stuck")
    (worker,) = leases(here, "stuck")
    worker.acquire()
    fence = lease(here)["fence"]

    found = unlock(Ledger(here.writer), "bob", surely=True)

    event = here.audit.events("v001", "stuck")[-1]
    assert found is not None
    assert (found.run, lease(here)["holder"], lease(here)["fence"]) == ("v001/stuck", "", fence + 1)
    assert (event["task"], event["by"], "unlocked by bob" in event["message"]) == ("unlock", "bob", True)
    with pytest.raises(LeaseHeld, match="lost the target"):
        worker.permit()
    with pytest.raises(LeaseHeld, match=r"was unlocked by bob; .* free in"):
        life.perform("apply")
    assert here.data() == {"c/a": {}, "c/b": {}}


@pytest.mark.parametrize("verb", ["unlock", "cancel"])
def test_a_target_that_was_taken_away_is_free_when_no_old_commit_can_arrive_any_more(here: World, verb: str) -> None:
    first = here.run(up, up_to="review", run_id="first")
    here.audit.record(first.run, "apply", "began to write", "applying")
    ledger = Ledger(here.writer)
    if verb == "unlock":
        unlock(ledger, "bob", surely=True)
    else:
        cancel(ledger, RunName("v001", "first"), "bob")

    second = here.begin(up, run_id="second")
    with pytest.raises(LeaseHeld, match=rf"Run v001/first was {verb}\w+ by bob; .* free in \d+ s\.") as refused:
        second.perform("preflight")
    left = lease(here)["expires_at"] - server_time(here)
    assert COMMIT_SECONDS - 10 < refused.value.facts["free_in"] <= COMMIT_SECONDS + 1
    assert left.total_seconds() <= COMMIT_SECONDS
    assert "second" not in here.audit.runs("v001")
    here.lease(expires_at=server_time(here))
    second.perform("preflight", "finish")
    assert (holder(ledger), here.state()) == (None, "verified")


def test_unlock_asks_before_it_takes_a_lease_that_is_alive(here: World) -> None:
    here.run(up, up_to="preflight", run_id="first")
    before = here.records()
    with pytest.raises(LeaseHeld, match=r"Run v001/first holds .* `firestore-migrations unlock --yes`") as refused:
        unlock(Ledger(here.writer), "bob", surely=False)
    assert (here.records(), refused.value.facts["holder"]) == (before, "v001/first")
    here.lease(expires_at=server_time(here))
    assert unlock(Ledger(here.writer), "bob", surely=False) is not None
    assert unlock(Ledger(here.writer), "bob", surely=True) is None

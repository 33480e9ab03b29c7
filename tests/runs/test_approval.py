"""Where a target asks for approval, nothing is written without one: of this plan, by a person, not long ago."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from firestore_migrations import Database, Document, each_document
from firestore_migrations.errors import (
    ChecksumChanged,
    FirestoreMigrationsError,
    IllegalTransition,
    NotApproved,
    OutOfOrder,
    QuestionOpen,
    RunCancelled,
)
from firestore_migrations.runs import control
from firestore_migrations.runs.allowance import Allowance
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.approval import NOBODY, approve, reject
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.phases import perform
from firestore_migrations.runs.policy import Policy
from firestore_migrations.runs.windows import Window, coverage
from tests.runs.world import Life, World

ASKS = Policy(approval=True)
DATA: dict[str, dict[str, Any]] = {f"users/{name}": {"n": 1} for name in ("ada", "bob", "cyd")}


@each_document("users")
def greet(user: Document, db: Database) -> None:
    user.setdefault("greeting", "hello")


@each_document("users", window="at")
def greet_by_day(user: Document, db: Database) -> None:
    if user.get("odd"):
        db.fail("it is odd")
    user.setdefault("greeting", "hello")


def asked(world: World, what: Any = greet, policy: Policy = ASKS, **facts: Any) -> Life:
    """A run against a target that asks, up to its question."""
    life = world.begin(what, **facts)
    life.run = replace(life.run, target=replace(life.run.target, policy=policy))
    return life.perform("preflight", "approve")


def digest_of(life: Life) -> str:
    return str(life.results["review"]["plan_digest"])


def audited(world: World, life: Life) -> dict[str, Any]:
    return world.audit.run(life.run) or {}


def test_a_run_writes_what_a_person_approved_and_the_audit_says_who_and_which_plan(world: World) -> None:
    world.write(DATA)
    life = asked(world)

    held = world.records()["_lease"]["holder"]
    before = (life.results["approve"], audited(world, life)["state"], world.state(), held)
    assert before == (
        {"is_open": True, "is_new": True, "digest": digest_of(life), "approved_by": None},
        "awaiting_approval",
        "awaiting_approval",
        "",
    )
    with pytest.raises(NotApproved, match=f"nobody has approved plan {digest_of(life)[:16]}"):
        life.perform("apply")
    assert world.data() == DATA

    approved = asked(world)
    approve(approved.run, digest_of(approved), "ada")
    approve(approved.run, digest_of(approved), "ada")  # as a task does whose answer was lost
    approved.go_on()
    data = audited(world, approved)
    assert {name: data[name] for name in ("state", "approved_by", "approved_digest", "approved_under")} == {
        "state": "verified",
        "approved_by": "ada",
        "approved_digest": data["plan_digest"],
        "approved_under": None,
    }
    events = world.audit.events("v001", approved.run.id)
    assert [(event["by"], event["message"]) for event in events if event["task"] == "approve"] == [
        ("ada", f"asks for approval of plan {digest_of(approved)[:16]}"),
        ("ada", f"approved by ada: plan {digest_of(approved)[:16]}"),
    ]
    assert world.data()["users/ada"] == {"n": 1, "greeting": "hello"}


def test_the_way_back_is_approved_too_and_a_dry_run_never(world: World) -> None:
    world.write(DATA)
    dry = asked(world, mode="dry_run")
    assert (dry.results["approve"]["is_open"], audited(world, dry)["state"]) == (False, "planned")
    dry.perform("finish")
    world.run(greet)
    down = asked(world, direction="down")
    with pytest.raises(NotApproved):
        down.perform("apply")
    down = asked(world, direction="down")
    approve(down.run, digest_of(down), "ada")
    down.go_on()
    assert (world.state(), world.data()) == ("rolled_back", DATA)


def test_a_plan_that_was_made_again_needs_another_approval(world: World) -> None:
    world.write(DATA)
    life = asked(world)
    old = digest_of(life)
    approve(life.run, old, "ada")
    world.write({"users/dan": {"n": 1}})
    for name in ("snapshot", "plan", "run.json"):  # a new reading, as a run has it whose files were lost
        _forget(life, name)
    life.perform("preflight", "review")
    assert digest_of(life) != old
    assert audited(world, life)["approved_by"] is None
    with pytest.raises(NotApproved):
        life.perform("apply")
    assert world.data().keys() == {*DATA, "users/dan"}
    assert "greeting" not in world.data()["users/ada"]

    life.perform("preflight", "approve")
    with pytest.raises(NotApproved, match="was made again meanwhile"):
        approve(life.run, old, "ada")
    approve(life.run, digest_of(life), "bob")
    life.perform("apply", "finish")
    assert (world.state(), audited(world, life)["approved_by"]) == ("verified", "bob")


def test_an_approval_lapses_unless_the_run_has_begun_to_write(world: World) -> None:
    world.write(DATA)
    brief = replace(ASKS, approval_max_age=timedelta(0))
    life = asked(world, policy=brief)
    approve(life.run, digest_of(life), "ada")
    with pytest.raises(NotApproved, match=r"ada approved its plan 0 seconds ago, .* Clear the task `approve`"):
        life.perform("apply")
    assert world.data() == DATA

    again = asked(world)
    approve(again.run, digest_of(again), "ada")
    again.perform("apply")
    again.run = replace(again.run, target=replace(again.run.target, policy=brief))
    again.perform("apply").perform("verify", "finish")
    assert world.state() == "verified"


def test_what_came_after_an_approved_plan_was_written_goes_with_it_only_as_long_as_the_approval_holds(
    world: World,
) -> None:
    world.write(DATA)
    life = asked(world)
    approve(life.run, digest_of(life), "ada")
    life.perform("apply")
    world.write({"users/dan": {"n": 1}})
    life.perform("verify", "finish")
    assert (world.data()["users/dan"]["greeting"], world.state()) == ("hello", "verified")

    world.write({"users/eve": {"n": 1}})
    life.run = replace(life.run, target=replace(life.run.target, policy=replace(ASKS, approval_max_age=timedelta(0))))
    life.perform("preflight", "apply")  # as a backfill that is asked to do what is done again
    late = r"came to here after its plan was written .* holds for 0 seconds .* Trigger a new run"
    with pytest.raises(NotApproved, match=late):
        life.perform("verify")
    life.perform("apply")  # cleared by somebody who tries again
    with pytest.raises(NotApproved, match=late):
        life.perform("verify")
    assert "greeting" not in world.data()["users/eve"]

    new = asked(world)
    approve(new.run, digest_of(new), "bob")
    new.go_on()
    assert (world.data()["users/eve"]["greeting"], world.state()) == ("hello", "verified")


@pytest.mark.parametrize(("by", "why"), [("ada", "rejected by ada"), (NOBODY, "nobody approved within 1:00:00")])
def test_a_rejected_run_is_over_and_has_written_nothing(world: World, by: str, why: str) -> None:
    world.write(DATA)
    life = asked(world)
    reject(life.run, by, why)
    reject(life.run, by, why)
    life.perform("finish")
    data = audited(world, life)
    assert (data["state"], data["rejected_by"], data["error"], world.state()) == (
        "rejected",
        by,
        f"Rejected: {why}",
        "pending",
    )
    assert (world.data(), world.records()["_lease"]["holder"]) == (DATA, "")
    for attempt in (lambda: approve(life.run, digest_of(life), "ada"), lambda: life.perform("review")):
        with pytest.raises(IllegalTransition, match="rejected"):
            attempt()
    assert world.run(greet).results["finish"]["state"] == "verified"


def test_a_run_that_was_given_up_while_it_waited_cannot_be_approved(world: World) -> None:
    world.write(DATA)
    cancelled, ended = asked(world), asked(world)
    control.cancel(Ledger(world.writer), RunName("v001", cancelled.run.id), "bob")
    with pytest.raises(RunCancelled):
        approve(cancelled.run, digest_of(cancelled), "ada")
    ended.perform("finish")  # its DAG run was marked failed
    assert audited(world, ended)["state"] == "failed"
    with pytest.raises(IllegalTransition, match="is failed; it cannot be approved"):
        approve(ended.run, digest_of(ended), "ada")


def test_a_file_that_was_edited_meanwhile_is_not_what_was_approved(world: World) -> None:
    world.write(DATA)
    life = asked(world)
    life.run = replace(life.run, migration=replace(life.run.migration, checksum="e" * 64))
    with pytest.raises(ChecksumChanged, match="was edited after the plan"):
        approve(life.run, digest_of(life), "ada")
    assert audited(world, life)["approved_by"] is None
    assert audited(world, life)["error"].startswith("the answer of ada was refused: v001_greet.py was edited")


def test_the_gates_are_passed_again_after_people_slept_over_it(world: World) -> None:
    world.write(DATA)
    first = world.migration(greet, version="v001")
    world.run(first)
    second = world.migration(greet, version="v002")
    life = asked(world, second, known=("v001", "v002"))
    world.run(first, direction="down")
    approve(life.run, digest_of(life), "ada")
    with pytest.raises(OutOfOrder, match="v002 comes after versions that are not applied here: v001"):
        life.perform("apply")
    assert world.data() == DATA


def day(number: int) -> str:
    return f"2026-03-{number:02}/2026-03-{number + 1:02}"


def test_windows_are_approved_together_up_to_what_was_allowed(world: World) -> None:
    world.write(
        {
            f"users/{at}-{number}": {"at": datetime(2026, 3, at, 12, tzinfo=timezone.utc)}
            for at in range(1, 8)
            for number in range(2)
        }
    )
    world.change("users/5-0", odd=True)
    first = asked(world, greet_by_day, window=day(1))
    march = Window.of("2026-03-02/2026-03-06")
    approve(first.run, digest_of(first), "ada", Allowance(march, 5, 1.0))
    first.go_on()

    def asks(number: int, **options: Any) -> tuple[bool, str | None]:
        life = asked(world, greet_by_day, window=day(number), **options)
        answer = life.results["approve"]
        if answer["is_open"]:
            reject(life.run, NOBODY, "it is only a test")
        else:
            life.go_on()
        return answer["is_open"], answer["approved_by"]

    assert [asks(2), asks(3), asks(4), asks(5, max_failures=1), asks(7)] == [
        (False, "ada"),
        (False, "ada"),
        (True, None),  # two more would be six
        (True, None),  # and a plan with failures is looked at
        (True, None),  # outside
    ]
    (allowance,) = [data for path, data in world.records().items() if path.startswith("v001/approvals/")]
    assert (allowance["user"], allowance["used_writes"], allowance["most_writes"]) == ("ada", 4, 5)
    assert 0 < allowance["used_price"] < allowance["most_price"]
    edited = world.migration(greet_by_day, checksum="e" * 64)
    world.delete("users/4-1")
    later = asked(world, edited, window=day(4))
    assert later.results["approve"]["is_open"]


def by_day(world: World, *days: int) -> None:
    """Two documents of each day, at noon."""
    noons = {at: datetime(2026, 3, at, 12, tzinfo=timezone.utc) for at in days}
    world.write({f"users/{at}-{number}": {"at": noon} for at, noon in noons.items() for number in range(2)})


def test_what_comes_late_into_an_allowed_window_takes_its_share_too_or_is_not_written(world: World) -> None:
    by_day(world, 1, 2, 3)
    first = asked(world, greet_by_day, window=day(1))
    approve(first.run, digest_of(first), "ada", Allowance(Window.of("2026-03-01/2026-04-01"), 5, 1.0))
    first.go_on()

    second = asked(world, greet_by_day, window=day(2)).perform("apply")
    world.write({"users/late": {"at": datetime(2026, 3, 2, 13, tzinfo=timezone.utc)}})
    second.go_on()
    third = asked(world, greet_by_day, window=day(3)).perform("apply")
    late = {f"users/later{number}": {"at": datetime(2026, 3, 3, 13, tzinfo=timezone.utc)} for number in range(3)}
    world.write(late)
    with pytest.raises(NotApproved, match=r"3 more documents .* --set window=2026-03-03T00:00:00\+00:00/"):
        third.perform("verify")

    (allowance,) = [data for path, data in world.records().items() if path.startswith("v001/approvals/")]
    assert allowance["used_writes"] == 5
    greeted = {path.removeprefix("users/") for path, data in world.data().items() if "greeting" in data}
    assert greeted == {"1-0", "1-1", "2-0", "2-1", "late", "3-0", "3-1"}


def test_what_comes_into_a_verified_run_is_asked_about_however_young_its_approval_is(world: World) -> None:
    world.write(DATA)
    life = asked(world)
    approve(life.run, digest_of(life), "ada")
    life.go_on()
    world.write({"users/eve": {"n": 1}})
    with pytest.raises(NotApproved, match=r"came to here after run run-1 was verified; .* ada was for what it planned"):
        life.perform("preflight", "verify")
    assert world.data()["users/eve"] == {"n": 1}


def test_the_windows_of_a_backfill_are_asked_about_one_after_the_other(world: World) -> None:
    by_day(world, 1, 2, 3)
    lives = [world.begin(greet_by_day, window=day(number)) for number in (1, 2, 3)]
    for life in lives:
        life.run = replace(life.run, target=replace(life.run.target, policy=ASKS), waits=True)
    lives[0].perform("preflight", "approve")
    for life in lives[1:]:
        life.perform("preflight", "review")
        with pytest.raises(QuestionOpen, match="run-1 of v001 awaits approval") as waits:
            perform(life.run, "approve")
        assert (waits.value.facts["free_in"], world.records()["_lease"]["holder"]) == (30, "")
        assert audited(world, life)["state"] == "planned"

    approve(lives[0].run, digest_of(lives[0]), "ada")
    assert lives[1].perform("approve").results["approve"]["is_open"]
    approve(lives[1].run, digest_of(lives[1]), "bob", Allowance(Window.of("2026-03-01/2026-04-01"), 9, 1.0))
    lives[2].perform("approve")
    assert lives[2].results["approve"]["approved_by"] == "bob"
    for life in lives:
        life.perform("apply", "finish")
    assert [audited(world, life)["state"] for life in lives] == ["verified"] * 3


def test_nobody_waits_for_a_question_whose_time_is_over(world: World) -> None:
    by_day(world, 1, 2)
    asked(world, greet_by_day, window=day(1))  # and Airflow went away for good
    second = world.begin(greet_by_day, window=day(2))
    brief = replace(ASKS, approval_timeout=timedelta(0))
    second.run = replace(second.run, target=replace(second.run.target, policy=brief), waits=True)
    assert second.perform("preflight", "approve").results["approve"]["is_open"]


def test_a_rejected_window_is_missing_and_done_again_it_asks_again(world: World) -> None:
    by_day(world, 1, 2)
    first = asked(world, greet_by_day, window=day(1))
    approve(first.run, digest_of(first), "ada")
    first.go_on()
    second = asked(world, greet_by_day, window=day(2))
    reject(second.run, "ada", "rejected by ada")
    second.perform("finish")
    windows = coverage(world.audit.versions()["v001"]["windows"])
    assert windows.missing == (Window.of(day(2)),)

    second.perform("preflight", "approve")  # as `airflow backfill create --reprocess-behavior failed` does
    assert (second.results["approve"]["is_new"], audited(world, second)["rejected_by"]) == (True, None)
    approve(second.run, digest_of(second), "bob")
    second.go_on()
    assert (audited(world, second)["state"], coverage(world.audit.versions()["v001"]["windows"]).missing) == (
        "verified",
        (),
    )


@pytest.mark.parametrize("lapse", [{"approval_max_age": timedelta(0)}, {"approvers": ("bob",)}])
def test_an_allowance_holds_only_as_long_as_the_target_lets_it_and_whoever_gave_it_approve(
    world: World, lapse: dict[str, Any]
) -> None:
    by_day(world, 1, 2)
    first = asked(world, greet_by_day, window=day(1))
    approve(first.run, digest_of(first), "ada", Allowance(Window.of("2026-03-01/2026-04-01"), 9, 1.0))
    first.go_on()
    second = asked(world, greet_by_day, replace(ASKS, **lapse), window=day(2))
    assert second.results["approve"]["is_open"]


def test_two_runs_cannot_take_the_same_allowance(world: World) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    world.write({f"users/{number}": {"at": at + timedelta(days=number)} for number in range(5)})
    first = asked(world, greet_by_day, window=day(1))
    approve(first.run, digest_of(first), "ada", Allowance(Window.of("2026-03-01/2026-04-01"), 2, 1.0))
    first.go_on()
    lives = []
    for number in range(2, 6):
        life = world.begin(greet_by_day, window=day(number))
        life.run = replace(life.run, target=replace(life.run.target, policy=ASKS))
        lives.append(life.perform("preflight", "review"))
        world.lease(expires_at=datetime.now(timezone.utc) - timedelta(minutes=1))

    def answer(life: Life) -> bool:
        try:
            return bool(life.perform("approve").results["approve"]["is_open"])
        except FirestoreMigrationsError as error:
            raise AssertionError(error) from error

    with ThreadPoolExecutor(4) as threads:
        open_questions = list(threads.map(answer, lives))
    assert sorted(open_questions) == [False, False, True, True]
    (allowance,) = [data for path, data in world.records().items() if path.startswith("v001/approvals/")]
    assert allowance["used_writes"] == 2


def _forget(life: Life, name: str) -> None:
    path = life.folder.root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()

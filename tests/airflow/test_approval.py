"""A target that asks for approval, through Airflow's own page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.notifications import notifications
from tests.airflow.deployment import Deployment, Outcome
from tests.runs.world import World

USERS: dict[str, dict[str, Any]] = {
    f"users/{name}": {"name": name, "email": f"{name}@x.org"} for name in ("ada", "bob")
}
TEXT = "{{ firestore_migration.version }} on {{ firestore_migration.target }}: {{ firestore_migration.state }}"
ENDED = {"backup": "success", "dry_run": "success", "preflight": "success", "review": "success"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """What people were told of by notifiers, one of which never works."""
    path = tmp_path / "told"
    states = ["awaiting_approval", "rejected", "failed", "verified", "rolled_back"]
    notifier = "tests.airflow.recorder.Recorder"
    entries = [
        {"on": states, "notifier": notifier, "kwargs": {"text": TEXT, "path": str(place)}} for place in (tmp_path, path)
    ]
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__NOTIFICATIONS", json.dumps(entries))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def asking(deployment: Deployment, world: World, connect: Callable[..., None]) -> Callable[..., Deployment]:
    """The deployment, with a target that asks for approval."""

    def asking(**extra: Any) -> Deployment:
        address = world.address
        place = {"emulator_host": address.emulator_host, "storage": f"file://{world.storage}"}
        connect(project=address.project, **place, **{"approval": True, **extra})
        return deployment

    world.write(USERS)
    return asking


def test_an_approved_run_goes_on_and_names_who_approved_which_plan(
    asking: Callable[..., Deployment], world: World, told: Callable[[], list[str]]
) -> None:
    deployment = asking()
    outcome = deployment.run("v001")
    assert (outcome.state, outcome.tasks["approve"], world.state()) == (
        "running",
        "awaiting_input",
        "awaiting_approval",
    )
    assert (world.records()["_lease"]["holder"], world.data()) == ("", USERS)
    digest = outcome.result("review")["plan_digest"]
    page = deployment.question(outcome)
    assert page["subject"] == f"Apply v001 add_user_stats on firestore_default? Plan {digest[:16]}"
    assert page["options"] == ["Approve", "Reject"]
    assert "**created** `user_stats/ada`" in page["body"]
    assert page["params"] == {}

    outcome = deployment.answer(outcome, "Approve")
    assert (outcome.state, set(outcome.tasks.values())) == ("success", {"success"})
    assert outcome.result("approve") == {"digest": digest, "approved_by": "Anonymous"}
    run = world.audit.runs("v001")[outcome.run_id]
    assert (run["state"], run["approved_by"], run["approved_digest"]) == ("verified", "Anonymous", digest)
    assert told() == [f"v001 on firestore_default: {state}" for state in ("awaiting_approval", "verified")]


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda deployment, outcome: deployment.answer(outcome, "Reject"), "Rejected: rejected by Anonymous"),
        (
            lambda deployment, outcome: deployment.let_time_pass(outcome),
            "Rejected: nobody approved within 1 seconds",
        ),
    ],
    ids=["a person says no", "nobody answers"],
)
def test_a_run_that_is_not_approved_ends_as_rejected_and_writes_nothing(
    asking: Callable[..., Deployment],
    world: World,
    told: Callable[[], list[str]],
    end: Callable[[Deployment, Outcome], Outcome],
    why: str,
) -> None:
    deployment = asking(approval_timeout="1s" if "nobody" in why else "1h")
    outcome = end(deployment, deployment.run("v001"))
    unreached = {"approve": "failed", "apply": "upstream_failed", "verify": "upstream_failed", "finish": "failed"}
    assert (outcome.state, outcome.tasks) == ("failed", {**ENDED, **unreached})
    run = world.audit.runs("v001")[outcome.run_id]
    assert (run["state"], run["error"], run["finished_at"] is not None) == ("rejected", why, True)
    assert (world.data(), world.records()["_lease"]["holder"]) == (USERS, "")
    assert told() == [f"v001 on firestore_default: {state}" for state in ("awaiting_approval", "rejected")]


@pytest.mark.parametrize(("option", "state"), [("Approve", "verified"), ("Reject", "rejected")])
def test_an_answer_that_airflow_loses_because_it_came_at_once_still_counts(
    asking: Callable[..., Deployment], world: World, told: Callable[[], list[str]], option: str, state: str
) -> None:
    deployment = asking()
    outcome = deployment.answer_at_once(deployment.run("v001"), option)
    assert (outcome.tries["approve"], world.audit.runs("v001")[outcome.run_id]["state"]) == (2, state)
    assert told() == [f"v001 on firestore_default: {state}" for state in ("awaiting_approval", state)]


def test_an_answer_counts_once_and_a_question_that_is_asked_again_waits_for_another(
    asking: Callable[..., Deployment], world: World
) -> None:
    deployment = asking(approval_max_age="1s")
    outcome = deployment.answer(deployment.run("v001"), "Approve", stop_before="apply")
    assert world.audit.runs("v001")[outcome.run_id]["approved_by"] == "Anonymous"
    time.sleep(1)
    deployment.clear(outcome, "approve")
    outcome = deployment.go_on(outcome.dag_id, outcome.run_id)
    assert (outcome.tasks["approve"], world.data()) == ("awaiting_input", USERS)
    assert deployment.answer(outcome, "Approve").state == "success"


def test_a_finished_run_that_is_cleared_after_its_approval_lapsed_writes_nothing_and_is_no_success(
    asking: Callable[..., Deployment], world: World
) -> None:
    """Its audit still says that it was verified, and Airflow looks at the last task alone."""
    deployment = asking()
    outcome = deployment.run("v001")
    assert deployment.answer(outcome, "Approve").state == "success"
    world.write({"users/eve": {"name": "eve", "email": "eve@x.org"}})
    asking(approval_max_age="1s")
    time.sleep(1)
    deployment.clear(outcome, "verify")
    again = deployment.go_on(outcome.dag_id, outcome.run_id)
    assert (again.tasks["verify"], again.tasks["finish"], again.state) == ("failed", "failed", "failed")
    assert (world.state(), "user_stats/ada" in world.data(), "user_stats/eve" in world.data()) == (
        "verified",
        True,
        False,
    )


def test_a_run_that_is_marked_failed_while_it_waits_has_failed_and_holds_nothing(
    asking: Callable[..., Deployment], world: World, told: Callable[[], list[str]]
) -> None:
    deployment = asking()
    outcome = deployment.run("v001")
    deployment.mark_failed(outcome)
    outcome = deployment.go_on(outcome.dag_id, outcome.run_id)
    assert world.audit.runs("v001")[outcome.run_id]["state"] == "failed"
    assert (world.data(), world.records()["_lease"]["holder"]) == (USERS, "")
    assert told()[-1] == "v001 on firestore_default: failed"


def test_a_plan_made_again_is_asked_about_again(asking: Callable[..., Deployment], world: World) -> None:
    deployment = asking()
    outcome = deployment.run("v001")
    digest = outcome.result("review")["plan_digest"]
    world.change("users/ada", name="Ada")
    deployment.clear(outcome, "backup")
    outcome = deployment.go_on(outcome.dag_id, outcome.run_id)
    assert (outcome.tasks["approve"], outcome.result("review")["plan_digest"]) == ("awaiting_input", digest)
    outcome = deployment.answer(outcome, "Approve")
    assert world.audit.runs("v001")[outcome.run_id]["approved_digest"] == digest

    deployment.clear(outcome, "approve")
    assert deployment.go_on(outcome.dag_id, outcome.run_id).state == "success"


def test_nobody_can_approve_a_plan_that_the_page_does_not_show(
    asking: Callable[..., Deployment], world: World, told: Callable[[], list[str]]
) -> None:
    deployment = asking()
    outcome = deployment.run("v001")
    world.change("users/ada", name="Ada")
    world.delete("users/bob")
    shutil.rmtree(world.storage)  # else the run keeps its snapshot, and so its plan, whatever is cleared
    deployment.clear(outcome, "preflight")
    outcome = deployment.go_on(outcome.dag_id, outcome.run_id)
    digest = outcome.result("review")["plan_digest"]
    assert digest[:16] not in deployment.question(outcome)["subject"]  # Airflow keeps what a task asked first
    assert (outcome.state, outcome.tasks["approve"], outcome.tasks["apply"]) == ("failed", "failed", "upstream_failed")
    run = world.audit.runs("v001")[outcome.run_id]
    assert (run["state"], f"cannot show plan {digest[:16]}" in run["error"]) == ("rejected", True)
    assert (set(world.data()), world.records()["_lease"]["holder"]) == ({"users/ada"}, "")
    assert told() == [f"v001 on firestore_default: {state}" for state in ("awaiting_approval", "rejected")]


def test_where_nothing_asks_nobody_is_asked(deployment: Deployment, world: World) -> None:
    world.write(USERS)
    outcome = deployment.run("v001")
    assert (outcome.state, outcome.result("approve")) == ("success", {"digest": None, "approved_by": None})
    dry = deployment.run("v002", mode="dry_run")
    assert (dry.state, dry.tasks["approve"], dry.tasks["apply"]) == ("success", "skipped", "skipped")


def test_what_the_target_names_decides_who_may_answer_and_how_long(asking: Callable[..., Deployment]) -> None:
    deployment = asking(approvers=["ada", "bob"], approval_timeout="90m")
    page = deployment.question(deployment.run("v001"))
    assert [user["id"] for user in page["assigned_users"]] == ["ada", "bob"]


def test_a_run_that_a_gate_refuses_is_told_of_as_failed(
    asking: Callable[..., Deployment], world: World, told: Callable[[], list[str]]
) -> None:
    outcome = asking().run("v002")
    assert (outcome.state, outcome.tasks["preflight"]) == ("failed", "failed")
    assert told() == ["v002 on firestore_default: failed"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not JSON"),
        ("{}", "it is not a list"),
        ('[{"on": ["failed"]}]', "entry 1 is not an object with on, notifier and kwargs"),
        ('[{"on": ["done"], "notifier": "x.Y"}]', "entry 1 is on ['done']; a list of awaiting_approval, rejected"),
        ('[{"on": ["failed"], "notifier": "airflow.nowhere.Y"}]', "entry 1: there is no 'airflow.nowhere.Y'"),
        ('[{"on": ["failed"], "notifier": "json.JSONDecoder"}]', "entry 1: json.JSONDecoder is no notifier"),
        (
            '[{"on": ["failed"], "notifier": "tests.airflow.recorder.Recorder", "kwargs": {"txt": "x"}}]',
            "Recorder does not take txt",
        ),
    ],
)
def test_notifications_that_cannot_be_made_are_refused_before_a_run(
    monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__NOTIFICATIONS", text)
    with pytest.raises(ConfigurationError) as refused:
        notifications()
    assert problem in str(refused.value)
    assert "AIRFLOW__FIRESTORE_MIGRATIONS__NOTIFICATIONS" in str(refused.value)

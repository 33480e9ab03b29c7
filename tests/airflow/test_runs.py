"""Runs as a person triggers them: by the API, through every task, to documents and audit."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from demo.recoup import fingerprint, seed
from tests.airflow.deployment import Deployment, Outcome
from tests.runs.world import PHASES, World

SUCCEEDED = dict.fromkeys(PHASES, "success")
UP = """
from firestore_migrations import each_document

@each_document("users", idempotent={idempotent})
def up(user, db):
    {body}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment: Deployment) -> Callable[..., None]:
    """Deploy v001 to v003, each with the given line as what it does to a user."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(folder))

    def write(*bodies: str, idempotent: bool = True) -> None:
        for number, body in enumerate(bodies, 1):
            text = f'"""Version {number}."""\n' + UP.format(body=body, idempotent=idempotent)
            (folder / f"v{number:03}_change_users.py").write_text(text)
        assert deployment.parse().import_errors == {}

    return write


def _is_small(outcome: Outcome) -> bool:
    """Whether every XCom is plain JSON of less than 8 KB."""
    values = [value for task in outcome.xcoms.values() for value in task]
    return all(len(value) < 8192 and "__classname__" not in value and json.loads(value) is not None for value in values)


def _lease(world: World) -> str:
    return str(world.records()["_lease"]["holder"])


def test_the_shipped_versions_run_in_order_and_the_last_is_taken_back(deployment: Deployment, world: World) -> None:
    host, project = str(world.address.emulator_host), world.address.project
    seed(host, project, scale=0.02)
    versions = ("v001", "v002", "v003")
    prints = [fingerprint(host, project)]
    for version in versions:
        outcome = deployment.run(version)
        assert (outcome.state, outcome.tasks) == ("success", SUCCEEDED)
        assert _is_small(outcome)
        assert outcome.result("finish")["state"] == world.state(version) == "verified"
        assert outcome.result("finish")["counts"]["failed"] == 0
        prints.append(fingerprint(host, project))
    changed = [{name for name in after if after[name] != before.get(name)} for before, after in pairwise(prints)]
    assert changed == [{"user_stats"}, {"users"}, {"invoices"}]

    down = deployment.run("v003", direction="down")
    assert (down.state, down.tasks) == ("success", SUCCEEDED)
    assert _is_small(down)
    assert world.state("v003") == "rolled_back"
    assert fingerprint(host, project) == prints[2]
    assert _lease(world) == ""


def test_shards_are_tasks_that_together_change_every_document(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    world.write({f"users/{i:03}": {"n": i} for i in range(300)})
    write("user['m'] = user['n']")
    outcome = deployment.run("v001", shards=3, batch_size=50)
    assert (outcome.state, outcome.tasks) == ("success", SUCCEEDED)
    assert {task: len(results) for task, results in outcome.xcoms.items() if len(results) > 1} == {
        "backup": 3,
        "dry_run": 3,
        "apply": 3,
    }
    assert world.data() == {f"users/{i:03}": {"n": i, "m": i} for i in range(300)}


def test_a_dry_run_ends_as_a_success_with_a_plan_and_no_document_changed(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    world.write({"users/ada": {"n": 1}})
    before = world.update_times()
    write("user['m'] = 1")
    outcome = deployment.run("v001", mode="dry_run")
    assert outcome.state == "success"
    assert outcome.tasks == {**SUCCEEDED, "approve": "skipped", "apply": "skipped", "verify": "skipped"}
    assert outcome.result("review")["counts"]["updated"] == 1
    assert outcome.result("finish")["state"] == world.state() == "planned"
    assert world.update_times() == before
    assert _lease(world) == ""


def test_a_transform_that_raises_fails_the_run_before_anything_is_written_and_frees_the_target(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    world.write({"users/ada": {"n": 1}, "users/bob": {}})
    before = world.update_times()
    write("user['m'] = user['n']")
    outcome = deployment.run("v001")
    assert outcome.state == "failed"
    assert outcome.tasks == {
        **SUCCEEDED,
        "review": "failed",
        "approve": "upstream_failed",
        "apply": "upstream_failed",
        "verify": "upstream_failed",
        "finish": "failed",  # it ran, and says that the run failed: Airflow takes the run's state from it
    }
    assert outcome.tries["review"] == 1
    assert world.update_times() == before
    run = world.records()[f"v001/runs/{outcome.run_id}"]
    assert (run["state"], run["error"].partition(":")[0]) == ("failed", "TooManyFailures")
    assert "users/bob" in run["error"]
    assert _lease(world) == ""


@pytest.mark.parametrize("task", ["backup", "apply"])
def test_a_run_that_a_person_marked_failed_gives_the_target_back_and_is_no_success(
    deployment: Deployment, world: World, write: Callable[..., None], task: str
) -> None:
    """Airflow skips what was left, runs the teardown, and would call the run a success."""
    world.write({"users/ada": {"n": 1}})
    write("user['m'] = 1")
    stopped = deployment.run("v001", stop_before=task)
    assert _lease(world) == f"v001/{stopped.run_id}"
    deployment.mark_failed(stopped)
    outcome = deployment.go_on(stopped.dag_id, stopped.run_id)
    assert (outcome.state, outcome.tasks["finish"]) == ("failed", "failed")
    assert world.records()[f"v001/runs/{outcome.run_id}"]["state"] == "failed"
    assert _lease(world) == ""


def test_a_version_out_of_order_is_refused_at_once_and_the_audit_says_what_to_run_first(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    write("user['m'] = 1", "user['k'] = 1")
    outcome = deployment.run("v002")
    assert outcome.state == "failed"
    assert outcome.tasks == {
        **dict.fromkeys(PHASES, "upstream_failed"),
        "preflight": "failed",
    }
    assert outcome.tries["preflight"] == 1
    run = world.records()[f"v002/runs/{outcome.run_id}"]
    assert run["state"] == "failed"
    assert "Run `firestore-migrations run v001` first" in run["error"]
    assert "_lease" not in world.records() or _lease(world) == ""


@pytest.mark.parametrize("task", PHASES)
def test_a_cleared_task_of_a_finished_run_writes_no_document_twice_and_keeps_the_before_images(
    deployment: Deployment, world: World, write: Callable[..., None], task: str
) -> None:
    """Also for a transform that is not idempotent. Airflow clears preflight and finish with any task between them."""
    world.write({f"users/{name}": {"n": 1} for name in ("ada", "bob")})
    write("user['n'] = user['n'] + 1", idempotent=False)
    first = deployment.run("v001")
    assert first.tasks == SUCCEEDED
    after, snapshot = world.update_times(), first.result("backup")["digest"]

    cleared = deployment.clear(first, task, downstream=False)
    assert set(cleared) == ({"finish"} if task == "finish" else {task, "preflight", "finish"})
    again = deployment.go_on(first.dag_id, first.run_id)

    assert (again.state, again.tasks) == ("success", SUCCEEDED)
    assert world.update_times() == after
    assert again.result("backup")["digest"] == snapshot
    assert again.result("review")["plan_digest"] == first.result("review")["plan_digest"]
    assert again.result("finish")["counts"] == first.result("finish")["counts"]
    assert world.state() == "verified"
    assert _lease(world) == ""


def test_a_run_whose_storage_cannot_be_written_waits_for_a_retry(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    """Trying again may help, so the run is not lost."""
    world.storage.write_text("a file where a folder is needed")
    write("user['m'] = 1")
    outcome = deployment.run("v001")
    assert (outcome.state, outcome.tasks["preflight"], outcome.tries["preflight"]) == ("running", "up_for_retry", 1)


def test_a_run_that_failed_goes_on_where_it_stopped_once_its_task_is_cleared(
    deployment: Deployment, world: World, write: Callable[..., None]
) -> None:
    world.write({"users/ada": {"n": 1}, "users/bob": {}})
    write("user['m'] = user['n']")
    failed = deployment.run("v001")
    assert failed.tasks["review"] == "failed"

    write("user['m'] = user.get('n', 0)")
    deployment.clear(failed, "dry_run")
    again = deployment.go_on(failed.dag_id, failed.run_id)

    assert (again.state, again.tasks) == ("success", SUCCEEDED)
    assert world.data() == {"users/ada": {"n": 1, "m": 1}, "users/bob": {"m": 0}}
    assert world.state() == "verified"


def test_a_run_that_was_taken_back_is_refused_at_once_where_it_is_cleared(deployment: Deployment, world: World) -> None:
    users = {"users/ada": {"name": "Ada", "email": "ada@x.org"}}
    world.write(users)
    done = deployment.run("v001")
    assert deployment.run("v001", direction="down").state == "success"
    assert "preflight" in deployment.clear(done, "apply")
    again = deployment.go_on(done.dag_id, done.run_id)
    assert (again.tasks["preflight"], again.state, world.state(), world.data()) == (
        "failed",
        "failed",
        "rolled_back",
        users,
    )

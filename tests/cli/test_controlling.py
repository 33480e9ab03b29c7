"""`pause`, `resume`, `cancel` and `unlock`, as they are typed while a run is at work."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest

from firestore_migrations.runs.run import instant
from tests.cli.conftest import SCRIPT, Terminal, Typed, until
from tests.runs.world import Life, World

pytestmark = pytest.mark.usefixtures("airflow_home")
SLOWLY = ("--set", "batch_size=1", "--set", "max_writes_per_second=10")


@pytest.fixture
def here(world: World) -> World:
    world.write({f"users/{number:02}": {"name": "x"} for number in range(40)})
    return world


@pytest.fixture
def running(terminal: Terminal, here: World) -> Iterator[subprocess.Popen[str]]:
    """`run v001` in a process of its own, which has written a little and goes on."""
    process = subprocess.Popen(
        [SCRIPT, "run", "v001", *SLOWLY, "--output", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=terminal.folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    until(lambda: written(here) > 2, process)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def written(world: World) -> int:
    return sum("greeting" in user for user in world.data().values())


def state_of_apply(run_id: str) -> str:
    """What Airflow's database says of the first shard's task."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        (dag_run,) = DagRun.find(run_id=run_id, session=session)
        (task,) = (ti for ti in dag_run.get_task_instances(session=session) if ti.task_id == "apply")
        return str(task.state)


def at_work(world: World, terminal: Terminal) -> Life:
    """A run that says that it is writing."""
    life = world.run(terminal.migration("v001"), up_to="review", run_id="busy")
    world.audit.record_writing(life.run, "applying")
    return life


def expire(world: World) -> None:
    world.lease(expires_at=instant(world.writer.get(["_migrations/_lease"])[1]) - timedelta(seconds=1))


def said(typed: Typed) -> tuple[int, str, str]:
    return typed.code, typed.json["before"], typed.json["state"]


def test_a_run_is_paused_and_resumed_by_other_processes(
    terminal: Terminal, here: World, running: subprocess.Popen[str]
) -> None:
    paused = terminal.type("pause", "--output", "json")
    before = written(here)
    assert said(paused) == (0, "applying", "paused")
    until(lambda: state_of_apply(paused.json["run"]) == "up_for_reschedule", running)
    assert written(here) - before <= 2
    shown = terminal.type("status")
    assert (shown.code, "Next: `firestore-migrations resume v001`: the run is paused." in shown.out) == (3, True)

    resumed = terminal.type("resume", "--output", "json")
    out, err = running.communicate(timeout=120)

    assert (said(resumed), resumed.json["cleared_tasks"]) == ((0, "paused", "applying"), 0)
    assert before < 43
    assert running.returncode == 0, err
    assert '"state": "verified"' in out
    assert written(here) == 43


def test_a_paused_run_whose_process_was_stopped_is_resumed_with_its_tasks_cleared_for_a_scheduler(
    terminal: Terminal, here: World, running: subprocess.Popen[str]
) -> None:
    paused = terminal.type("pause", "--output", "json")
    until(lambda: state_of_apply(paused.json["run"]) == "up_for_reschedule", running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, f"{out}\n{err}"
    assert (here.state(), here.records()["_lease"]["holder"]) == ("paused", "")

    resumed = terminal.type("resume", "--output", "json")

    assert (said(resumed), resumed.json["cleared_tasks"]) == ((0, "paused", "applying"), 3)
    assert "as soon as a scheduler runs" in resumed.json["next"]
    assert state_of_apply(paused.json["run"]) == "None"
    assert "v001 is applying: nobody works on it" in terminal.type("status").out


def test_a_run_that_is_cancelled_ends_as_failed_and_says_by_whom(
    terminal: Terminal, here: World, running: subprocess.Popen[str]
) -> None:
    typed = terminal.type("cancel", "v001", "--output", "json")
    out, _ = running.communicate(timeout=120)
    assert (said(typed), running.returncode) == ((0, "applying", "failed"), 1)
    assert '"type": "Cancelled"' in out
    assert 0 < written(here) < 43
    run = terminal.type("history", "v001", "--output", "json").json["runs"][0]
    assert (run["state"], run["error"]["type"], run["counts"]["updated"]) == ("failed", "Cancelled", written(here))
    expire(here)
    assert terminal.type("run", "v001").code == 0
    assert written(here) == 43


def test_a_run_that_was_triggered_while_the_target_is_taken_away_waits_until_it_is_free(
    terminal: Terminal, here: World
) -> None:
    at_work(here, terminal)
    assert terminal.type("cancel").code == 0
    here.lease(expires_at=instant(here.writer.get(["_migrations/_lease"])[1]) + timedelta(seconds=20))
    assert terminal.type("run", "v001").code == 0
    assert written(here) == 43


def test_unlock_says_whose_the_target_is_before_it_takes_it(terminal: Terminal, here: World) -> None:
    assert terminal.type("unlock").out == "Nobody holds firestore_default.\n"
    at_work(here, terminal)
    before = here.records()

    asked = terminal.type("unlock")
    assert (asked.code, here.records()) == (1, before)
    assert "Run v001/busy holds the target since" in asked.err
    assert "say `firestore-migrations unlock --yes`" in asked.err

    typed = terminal.type("unlock", "--yes", "--output", "json")
    assert (typed.code, typed.json["unlocked"]["run"], here.records()["_lease"]["holder"]) == (0, "v001/busy", "")
    shown = terminal.type("status").out
    assert "Run v001/busy was unlocked by" in shown
    assert "v001 is applying: nobody works on it" in shown


def test_status_tells_when_nobody_works_on_a_run_that_says_that_it_writes(terminal: Terminal, here: World) -> None:
    at_work(here, terminal)
    assert "nobody works on it" not in terminal.type("status").out
    expire(here)
    typed = terminal.type("status", "--output", "json")
    version = typed.json["versions"][0]
    assert (typed.code, version["state"], typed.json["lease"]) == (3, "applying", None)
    assert "nobody works on it" in version["remark"]
    assert "`firestore-migrations cancel v001`" in version["remark"]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_verb_that_finds_no_run_says_where_to_look(terminal: Terminal, here: World, verb: str) -> None:
    typed = terminal.type(verb, "--output", "json")
    assert (typed.code, typed.json["error"]["type"]) == (1, "Refused")
    assert "`firestore-migrations status`" in typed.err
    typed = terminal.type(verb, "v009")
    assert (typed.code, "There is no version 'v009'" in typed.err) == (2, True)
    assert here.records() == {}


def test_a_run_is_named_where_a_version_has_several(terminal: Terminal, here: World) -> None:
    early = terminal.type("run", "v001", "--set", "budget=0", "--output", "json").json["run"]
    assert terminal.type("run", "v001", "--set", "budget=0").code == 1
    resumed = terminal.type("resume", "v001", "--run", early, "--budget", "1", "--output", "json")
    assert (resumed.code, resumed.json["run"]) == (0, early)
    assert here.audit.runs("v001")[early]["budget"] == 1
    assert terminal.type("resume", "--run", early).code == 2
    assert "There is no run nothing of v001" in terminal.type("cancel", "v001", "--run", "nothing").err

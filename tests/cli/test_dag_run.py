"""Running a DAG from a command: in this process, or by the scheduler that is there."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from firestore_migrations.authoring.discovery import load
from firestore_migrations.dag_run import run_in_process
from firestore_migrations.errors import ConfigurationError
from tests.cli.conftest import Terminal
from tests.runs.world import World


@pytest.fixture
def scheduler(airflow_home: Path) -> Iterator[None]:
    """The trace of a scheduler that works: a heartbeat in Airflow's database, of just now."""
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session

    with create_session() as session:
        job = Job(job_type="SchedulerJob", state="running")
        job.latest_heartbeat = datetime.now(timezone.utc) + timedelta(minutes=1)
        session.add(job)
    yield
    with create_session() as session:
        session.delete(session.merge(job))


def test_a_database_that_is_not_migrated_is_named_with_the_command(terminal: Terminal, world: World) -> None:
    typed = terminal.script("run", "v001", AIRFLOW_HOME=str(terminal.folder / "airflow"))
    assert (typed.code, typed.out) == (2, "")
    assert "airflow db migrate" in typed.err
    assert world.records() == {}


def test_a_working_scheduler_is_never_shared_with(terminal: Terminal, world: World, scheduler: None) -> None:
    """It would take the tasks of a DAG that runs here, so the DAG is triggered; this one it does not know."""
    file = next((terminal.folder / "migrations").glob("v001_*.py"))
    unknown = load(file.rename(file.with_name("v001_seen_by_no_scheduler.py")))
    with pytest.raises(ConfigurationError, match=f"The scheduler does not know the DAG {unknown.dag_id} yet"):
        run_in_process(unknown, {})
    assert world.records() == {}


def test_parameters_that_airflow_would_ignore_are_refused(
    airflow_home: Path, terminal: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With that setting a dry run would write."""
    monkeypatch.setenv("AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS", "False")
    with pytest.raises(ConfigurationError, match="dag_run_conf_overrides_params"):
        run_in_process(terminal.migration("v001"), {"mode": "dry_run"})
    assert world.records() == {}


@pytest.mark.parametrize("within", [{"_test"}, {"_test", "_run_task"}, set()], ids=["the DAG", "a task", "the API"])
def test_ctrl_c_in_the_middle_of_a_commit_to_airflows_database_ends_the_run(
    airflow_home: Path, terminal: Terminal, world: World, within: set[str]
) -> None:
    """The session that it meets there takes no further statement, and the task that it meets fails unheard."""
    from airflow.models.dagrun import DagRun
    from airflow.settings import engine
    from sqlalchemy import event

    def interrupt(_connection: object) -> None:
        functions = {frame.name for frame in traceback.extract_stack()} & {"_test", "_run_task"}
        if functions == within and not pressed and world.records().get("_lease", {}).get("holder"):
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    pressed: list[bool] = []
    run_ids: list[str] = []
    migration = terminal.migration("v001")
    event.listen(engine, "commit", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_in_process(migration, {"mode": "apply", "direction": "up"}, started=run_ids.append)
    finally:
        event.remove(engine, "commit", interrupt)
    assert pressed
    (dag_run,) = DagRun.find(dag_id=migration.dag_id, run_id=run_ids[0])
    run = world.audit.runs("v001")[run_ids[0]]
    assert (dag_run.state, run["state"], world.records()["_lease"]["holder"]) == ("failed", "failed", "")

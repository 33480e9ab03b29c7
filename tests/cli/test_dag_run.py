"""Running a DAG from a command: in this process, or by the scheduler that is there."""

from __future__ import annotations

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

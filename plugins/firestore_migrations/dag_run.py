"""Runs a version's own DAG from a command, and waits for its end.

Where a scheduler works on Airflow's metadata database, the run is its: the DAG is triggered as the API would do it.
Where none does, the DAG runs in this process. Two at once would take each other's tasks.

Airflow is imported late, after its output was led away from standard output, which belongs to the result.
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from firestore_migrations.operators.approval import Answerer

_BUNDLE = "firestore-migrations"
_BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
FOLDER = "AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER"
_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"
_LOADER = '''\
"""Written by firestore-migrations: an Airflow DAG for each migration, where no DAGs folder makes them."""

from firestore_migrations.dag_factory import make_dags

globals().update(make_dags())
'''
_POLL_SECONDS = 1.0


def run_in_process(
    migration: Migration,
    params: dict[str, Any],
    *,
    verbose: bool = False,
    started: Callable[[str], None] = lambda _: None,
    answerer: Answerer = lambda _report, _question: None,
) -> str:
    """Run the migration's DAG to its end; how it ended stands in the audit, under the id that is returned.

    While it runs, file descriptor 1 is not standard output: write progress to standard error.
    Ctrl-C fails the task that is working, and the DAG ends as it does after any failure: audited, the lease free.

    Args:
        migration: of the folder that its path names.
        params: of the DAG; those left out have their defaults.
        verbose: show Airflow's log on standard error; else its warnings and errors are in `log_file()`.
        started: called with the run's id before its first task.
        answerer: asks whoever types, where the target asks for approval and no scheduler runs the DAG; by default
            nobody is there, and the run is rejected.

    Returns:
        The DAG run's id, which is also the audit's.

    Raises:
        ConfigurationError: a parameter is bad, or Airflow cannot run anything yet. Nothing was run.
        KeyboardInterrupt: after Ctrl-C.
    """
    with airflow_output(verbose=verbose), environment({FOLDER: str(migration.path.parent.absolute())}):
        require_database()
        from firestore_migrations.dag_factory import make_dag

        dag = make_dag(migration)
        check_params(dag, params)
        if scheduler_is_alive():
            return _trigger_and_wait(dag.dag_id, params, started)
        from firestore_migrations.operators.approval import asked_in_terminal

        with asked_in_terminal(answerer), airflow_output(verbose=verbose, log=None if verbose else log_file()):
            return _test(dag, migration.version, params, started)


def run_on_scheduler(
    dag_id: str, params: dict[str, Any], folder: Path, *, verbose: bool = False, started: Callable[[str], None]
) -> str | None:
    """Let the scheduler run a DAG of this package, and wait for the end of the run.

    Args:
        dag_id: of the DAG.
        params: of the run.
        folder: of the migrations.
        verbose: show Airflow's log on standard error.
        started: called with the run's id.

    Returns:
        The DAG run's id; None where no scheduler works.

    Raises:
        ConfigurationError: Airflow cannot run anything yet, or the DAG is paused.
    """
    with airflow_output(verbose=verbose), environment({FOLDER: str(folder.absolute())}):
        require_database()
        return _trigger_and_wait(dag_id, params, started) if scheduler_is_alive() else None


def check_params(dag: DAG, params: Mapping[str, Any]) -> None:
    """Refuse what the trigger form would refuse.

    Raises:
        ConfigurationError: naming the parameter, and why its value is refused.
    """
    from airflow.sdk import conf
    from airflow.sdk.exceptions import ParamValidationError

    from firestore_migrations.runs.options import Options

    if not conf.getboolean("core", "dag_run_conf_overrides_params"):
        raise ConfigurationError(
            "Airflow is configured to ignore the parameters of a run: [core] dag_run_conf_overrides_params is False.",
            "Set it to True: a dry run would otherwise write.",
        )
    merged = dag.params.__copy__()
    for name, value in params.items():
        if name not in merged:
            raise ConfigurationError(
                f"{dag.dag_id} has no parameter {name!r}.", f"It has {', '.join(merged)}.", param=name
            )
        try:
            merged[name] = value
        except ParamValidationError as error:
            why = str(error).split("\n", 1)[0].split(": ", 1)[-1].rstrip(".")
            raise ConfigurationError(
                f"Parameter {name}: {why}.",
                f"Give it another value, or leave it out: then it is {dag.params[name]}.",
                param=name,
            ) from error
    Options.of(params)  # what JSON's schema cannot say, like a number that is none


@contextmanager
def airflow_output(*, verbose: bool, log: Path | None = None) -> Iterator[None]:
    """Keep everything that Airflow prints away from standard output.

    It works on file descriptors: Airflow's loggers keep the stream that they were made with.

    Args:
        verbose: show it on standard error.
        log: else, append warnings and errors to this file.
    """
    level = {} if verbose or _LEVEL in os.environ else {_LEVEL: "WARNING"}
    sys.stdout.flush()
    kept = os.dup(1)
    led_away = os.dup(2) if verbose else os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(led_away, 1)
    os.close(led_away)
    # Loggers made from here on get a stream of the descriptor, also where sys.stdout is none, as in a notebook.
    stream = os.fdopen(1, "w", buffering=1, closefd=False)
    try:
        with environment(level), redirect_stdout(stream):
            yield
    finally:
        stream.flush()
        os.dup2(kept, 1)
        os.close(kept)


def log_file() -> Path:
    """Where Airflow's warnings and errors go while a DAG runs in this process."""
    folder = _airflow_home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "firestore-migrations.log"


def require_database() -> None:
    """Import Airflow, and refuse a metadata database that is not what this Airflow needs.

    Raises:
        ConfigurationError: it is missing, or of another version of Airflow.
    """
    from airflow.utils.db import check_migrations
    from sqlalchemy.exc import SQLAlchemyError

    try:
        check_migrations(0)
    except (TimeoutError, SQLAlchemyError) as error:
        raise ConfigurationError(
            f"Airflow's metadata database is not ready ({type(error).__name__}); AIRFLOW_HOME is {_airflow_home()}.",
            "Prepare it once with `airflow db migrate`, or set AIRFLOW_HOME to one that is.",
        ) from error


def scheduler_is_alive() -> bool:
    """Whether a scheduler works on Airflow's metadata database."""
    from airflow.jobs.job import most_recent_job

    job = most_recent_job("SchedulerJob")
    return job is not None and job.is_alive()


def _test(dag: DAG, version: str, params: dict[str, Any], started: Callable[[str], None]) -> str:
    """Run the DAG in this process, one task after another; retries wait as they do elsewhere."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    now = datetime.now(timezone.utc)
    run_id = str(DagRun.generate_run_id(run_type=DagRunType.MANUAL, logical_date=now, run_after=now))
    started(run_id)
    try:
        with environment({_BUNDLES: _bundles()}), _interruptible():
            dag.test(run_after=now, logical_date=now, run_conf=params)
    except KeyboardInterrupt:
        _finish(dag, version, params, run_id)
        raise
    return run_id


def _finish(dag: DAG, version: str, params: dict[str, Any], run_id: str) -> None:
    """End a run that was interrupted between two tasks, in the audit and in Airflow, unless its task `finish` has."""
    from airflow.models.dagrun import DagRun
    from airflow.settings import get_engine, get_session
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, State

    from firestore_migrations.operators.migration import run_of
    from firestore_migrations.runs.phases import perform

    get_session()().invalidate()  # it is as the interrupt met it, perhaps in a commit
    get_engine().dispose()  # and so may be connections that went back to the pool
    with create_session() as session:
        for dag_run in DagRun.find(dag_id=dag.dag_id, run_id=run_id, session=session):
            last = dag_run.get_task_instance("finish", session=session)
            if last is not None and last.state in (State.SUCCESS, State.FAILED):
                return
            if dag_run.state not in State.finished_dr_states:
                dag_run.set_state(DagRunState.FAILED)  # a scheduler that starts later would go on with it
    target = params.get("target", dag.params["target"])
    run = run_of(version, target, params, run_id=run_id, dag_id=dag.dag_id, triggered_by=getpass.getuser())
    perform(run, "finish")


def _bundles() -> str:
    """The configured DAG bundles, and before them one of our own.

    `DAG.test` parses bundles until one has the DAG, and the one that had it last comes first. With ours there need not
    be a DAGs folder; the configured ones stay in the list, because Airflow disables those that are missing from it.
    """
    from airflow.sdk import conf

    folder = _airflow_home() / "firestore-migrations" / "dags"
    folder.mkdir(parents=True, exist_ok=True)
    loader = folder / "migration_dags.py"
    if not loader.exists() or loader.read_text(encoding="utf-8") != _LOADER:
        loader.write_text(_LOADER, encoding="utf-8")
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    own = {"name": _BUNDLE, "classpath": classpath, "kwargs": {"path": str(folder)}}
    configured = conf.getjson("dag_processor", "dag_bundle_config_list") or []
    return json.dumps([own, *(bundle for bundle in configured if bundle["name"] != _BUNDLE)])


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end too: the operator makes it the failure of a task, and the DAG finishes."""
    from firestore_migrations.operators.migration import interrupted

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    interrupted.clear()
    try:
        try:
            yield
        except Exception as error:
            if interrupted.is_set():  # what Airflow makes of it that is met in the middle of its own work
                raise KeyboardInterrupt from error
            raise
        if interrupted.is_set():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
        interrupted.clear()


def _trigger_and_wait(dag_id: str, params: dict[str, Any], started: Callable[[str], None]) -> str:
    """Let the scheduler run the DAG, and wait for the end of the run."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import State
    from airflow.utils.types import DagRunTriggeredByType

    model = DagModel.get_current(dag_id)
    if model is None or model.is_stale:
        raise ConfigurationError(
            f"The scheduler does not know the DAG {dag_id} yet.",
            "It looks for new files every few minutes; `airflow dags reserialize` makes it look now.",
        )
    if model.is_paused:
        raise ConfigurationError(f"The DAG {dag_id} is paused.", f"Let it run with `airflow dags unpause {dag_id}`.")
    run = trigger_dag(
        dag_id, triggered_by=DagRunTriggeredByType.CLI, triggering_user_name=getpass.getuser(), conf=params
    )
    if run is None:
        raise ConfigurationError(f"Airflow did not trigger {dag_id}.", "Trigger it in Airflow's UI to see why.")
    run_id = str(run.run_id)
    started(run_id)
    while True:
        found = DagRun.find(dag_id=dag_id, run_id=run_id)
        if not found or found[0].state in State.finished_dr_states:
            return run_id
        if not scheduler_is_alive():
            raise ConfigurationError(
                f"The scheduler stopped while run {run_id} of {dag_id} was {found[0].state}.",
                "Start it again: it goes on with the run.",
            )
        time.sleep(_POLL_SECONDS)


def _airflow_home() -> Path:
    from airflow.configuration import AIRFLOW_HOME

    return Path(AIRFLOW_HOME)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

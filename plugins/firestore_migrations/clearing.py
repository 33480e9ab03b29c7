"""Lets a DAG run go on, in Airflow's metadata database: wakes its tasks that wait, or clears those that ended."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from firestore_migrations.dag_run import require_database, scheduler_is_alive
from firestore_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

_FINISH = "finish"
# A task that is queued again before the executor has told that its last process ended is taken for one that was killed.
_PROCESS_ENDS_IN = timedelta(seconds=10)
_CLOSED_WITHIN, _LOOKS_EVERY = 30.0, 0.5  # seconds


class Cleared(NamedTuple):
    """What Airflow's database at hand says of a DAG run.

    Attributes:
        is_known: whether it has the run at all.
        tasks: how many were cleared; 0 where the DAG run had not ended.
        is_scheduled: whether a scheduler is there to go on with it.
    """

    is_known: bool
    tasks: int = 0
    is_scheduled: bool = False


def let_go_on(dag_id: str, run_id: str, *, has_ended: bool) -> Cleared:
    """Wake the tasks of a DAG run that wait; of one that has ended, clear what did not succeed, and its `finish`.

    Args:
        dag_id: its DAG.
        run_id: its id.
        has_ended: whether the run has ended by its audit. Airflow closes the DAG run some seconds later; it is waited
            for, because until then there is nothing to clear.
    """
    try:
        require_database()
    except ConfigurationError:
        return Cleared(is_known=False)
    if has_ended:
        _wait_for_the_end(dag_id, run_id)
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        found = _unfinished(dag_id, run_id, session)
        if found is None:
            return Cleared(is_known=False)
        if found:
            clear_task_instances(found, session)
        return Cleared(True, len(found), scheduler_is_alive())


def to_clear(dag_id: str, run_id: str, *, has_ended: bool) -> list[str | tuple[str, int]]:
    """The tasks to clear of a DAG run that has ended, as Airflow's API names them; of one that goes on, wake them."""
    if has_ended:
        _wait_for_the_end(dag_id, run_id)
    from airflow.utils.session import create_session

    with create_session() as session:
        found = _unfinished(dag_id, run_id, session) or []
        return [task.task_id if task.map_index < 0 else (task.task_id, task.map_index) for task in found]


def _wait_for_the_end(dag_id: str, run_id: str) -> None:
    """Wait until Airflow has closed a DAG run of which every task is through, or for half a minute."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import State

    deadline = time.monotonic() + _CLOSED_WITHIN
    while time.monotonic() < deadline:
        with create_session() as session:
            found = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
            if not found or found[0].state in State.finished_dr_states:
                return
        time.sleep(_LOOKS_EVERY)


def _unfinished(dag_id: str, run_id: str, session: Session) -> list[TaskInstance] | None:
    """Of a DAG run that has ended, the tasks that did not succeed, and `finish`; None where Airflow does not know it.

    Of one that goes on, there are none, and its tasks that wait are woken.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import State, TaskInstanceState

    found = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
    if not found:
        return None
    tasks = found[0].get_task_instances(session=session)
    if found[0].state in State.finished_dr_states:
        return [task for task in tasks if task.state != TaskInstanceState.SUCCESS or task.task_id == _FINISH]
    _wake([task for task in tasks if task.state == TaskInstanceState.UP_FOR_RESCHEDULE], session)
    return []


def _wake(tasks: list[TaskInstance], session: Session) -> None:
    """Let the scheduler take up waiting tasks now, and not when they wanted to look again."""
    from airflow.models.taskreschedule import TaskReschedule

    now = datetime.now(timezone.utc)
    for task in tasks:
        request = session.scalar(TaskReschedule.stmt_for_task_instance(task, descending=True).limit(1))
        if request is not None:
            request.reschedule_date = min(request.reschedule_date, max(now, request.end_date + _PROCESS_ENDS_IN))

"""Lets a DAG run that has ended go on: clears the tasks that did not succeed, in Airflow's metadata database."""

from __future__ import annotations

from typing import NamedTuple

from firestore_migrations.dag_run import require_database, scheduler_is_alive
from firestore_migrations.errors import ConfigurationError

_FINISH = "finish"


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


def clear_ended(dag_id: str, run_id: str) -> Cleared:
    """Clear what did not succeed of a DAG run that has ended, and its `finish`. One that goes on is left alone."""
    try:
        require_database()
    except ConfigurationError:
        return Cleared(is_known=False)
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session
    from airflow.utils.state import State, TaskInstanceState

    with create_session() as session:
        found = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
        if not found:
            return Cleared(is_known=False)
        tasks = []
        if found[0].state in State.finished_dr_states:
            instances = found[0].get_task_instances(session=session)
            tasks = [ti for ti in instances if ti.state != TaskInstanceState.SUCCESS or ti.task_id == _FINISH]
            clear_task_instances(tasks, session)
    return Cleared(True, len(tasks), scheduler_is_alive())

"""A child run: another DAG's run that a task triggers, once, and waits for, however often the task begins again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.operators.failing import come_back

if TYPE_CHECKING:
    from airflow.sdk import Context

_log = logging.getLogger(__name__)
_POLL_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
"""How long a worker is held; then the task leaves it, so that even one worker alone lets the child run go on."""
_ENDED = frozenset({"success", "failed"})


def run_child(
    context: Context, dag_id: str, name: str, conf: Mapping[str, Any], begins: Callable[[str], None] = lambda _: None
) -> str:
    """Trigger a DAG and wait until its run has ended; how it ended is in the audit, not in Airflow.

    The run's id is `name` and the number of the task's try. A task that begins again finds the run of its earlier try:
    it waits for one that is still going on, and triggers a new one only where the earlier ones have ended.

    Args:
        context: of the task.
        dag_id: what to trigger.
        name: how the ids of its runs begin; the same in every try.
        conf: its parameters.
        begins: called with the run's id before it is triggered, or again while it goes on.

    Returns:
        The id of a run that has ended.

    Raises:
        AirflowRescheduleException: it goes on; the task comes back.
        ConfigurationError: the DAG is paused, or Airflow does not know it.
    """
    task: Any = context["ti"]
    last = _unfinished(task, dag_id, name) or _run_id(name, task.try_number)
    begins(last)
    if not task.get_dr_count(dag_id, run_ids=[last]):
        _refuse_paused(task, dag_id)
        _trigger(dag_id, last, conf)
        _log.info("Triggered %s, run %s.", dag_id, last)
    until = time.monotonic() + _PATIENCE_SECONDS
    while task.get_dagrun_state(dag_id, last) not in _ENDED:
        if time.monotonic() > until:
            _refuse_paused(task, dag_id)
            _log.info("Run %s of %s goes on; looking again in a while.", last, dag_id)
            raise come_back(0)
        time.sleep(_POLL_SECONDS)
    return last


def has_begun(context: Context, dag_id: str, name: str) -> bool:
    """Whether this try of the task has triggered its run already, or an earlier one's still goes on."""
    task: Any = context["ti"]
    return bool(_unfinished(task, dag_id, name) or task.get_dr_count(dag_id, run_ids=[_run_id(name, task.try_number)]))


def _run_id(name: str, try_number: int) -> str:
    return f"{name}__{try_number}"


def _unfinished(task: Any, dag_id: str, name: str) -> str:
    """The run of an earlier try that is still going on; empty for none."""
    for number in range(1, task.try_number):
        run_id = _run_id(name, number)
        if task.get_dr_count(dag_id, run_ids=[run_id]) and task.get_dagrun_state(dag_id, run_id) not in _ENDED:
            return run_id
    return ""


def _refuse_paused(task: Any, dag_id: str) -> None:
    if task.get_dag(dag_id).is_paused:
        raise ConfigurationError(
            f"The DAG {dag_id} is paused, so its run would wait for ever.",
            f"Let it run with `airflow dags unpause {dag_id}`, then clear this task.",
            dag=dag_id,
        )


def _trigger(dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
    """Trigger the run; one that is there already is left alone."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer = SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=dict(conf)))
    if isinstance(answer, ErrorResponse) and answer.error != ErrorType.DAGRUN_ALREADY_EXISTS:
        raise ConfigurationError(
            f"Airflow did not trigger {dag_id}: {answer.error.value}.", "Trigger it in Airflow's page to see why."
        )

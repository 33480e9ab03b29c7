"""A deployment: Airflow's database and REST API, the DAGs of a folder of migrations, and runs task by task."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, State, TaskInstanceState
from fastapi.testclient import TestClient
from sqlalchemy import select

DAGS = Path(__file__).parents[2] / "dags"
_BUNDLE = "dags-folder"


@dataclass(frozen=True)
class Outcome:
    """How a DAG run stands: its state, that of every task (of all its shards), and what is in XCom, as it is stored."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    xcoms: dict[str, list[str]]

    def result(self, task: str) -> Any:
        """What the first shard of a task returned."""
        return json.loads(self.xcoms[task][0])


class Deployment:
    """Airflow with the migrations of one folder.

    Args:
        api: Airflow's web application; whoever asks is an administrator.
    """

    def __init__(self, api: TestClient) -> None:
        self.api = api
        self.dags: dict[str, DAG] = {}

    def parse(self) -> BundleDagBag:
        """Parse the DAGs folder and store what is found, as the DAG processor does."""
        bag = BundleDagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name=_BUNDLE)
        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(bag, _BUNDLE, None)
        self.dags = bag.dags
        return bag

    def dag_id(self, version: str) -> str:
        return next(dag_id for dag_id in self.dags if dag_id.startswith(f"firestore_{version}_"))

    def ask_for(self, version: str, **conf: Any) -> Any:
        """Trigger a run as the form does, and return the API's answer."""
        return self.api.post(f"/api/v2/dags/{self.dag_id(version)}/dagRuns", json={"logical_date": None, "conf": conf})

    def run(self, version: str, *, stop_before: str = "", **conf: Any) -> Outcome:
        """Trigger a run, and perform its tasks until it ends, waits for a retry, or comes to a task to stop before."""
        answer = self.ask_for(version, **conf)
        assert answer.status_code == 200, answer.text
        return self.go_on(self.dag_id(version), answer.json()["dag_run_id"], stop_before)

    def question(self, outcome: Outcome) -> dict[str, Any]:
        """What a run that awaits approval shows on Airflow's page."""
        answer = self.api.get(_question_of(outcome))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def answer(self, outcome: Outcome, option: str, stop_before: str = "", **fields: Any) -> Outcome:
        """Answer it as the page does, and let the run go on."""
        self._answer(outcome, option, fields)
        return self.go_on(outcome.dag_id, outcome.run_id, stop_before)

    def answer_at_once(self, outcome: Outcome, option: str) -> Outcome:
        """Answer before the scheduler has seen that the task waits: it takes the task for killed, and tries it again.

        What it then does to the task is done here as `SchedulerJobRunner.process_executor_events` does it.
        """
        self._answer(outcome, option, {})
        with create_session() as session:
            run = session.scalar(select(DagRun).where(DagRun.dag_id == outcome.dag_id, DagRun.run_id == outcome.run_id))
            task = run.get_task_instance("approve", session=session)
            task.task = _scheduled(self.dags[outcome.dag_id]).get_task("approve")
            task.handle_failure(error="killed externally", session=session)
            assert (task.state, task.next_method) == (TaskInstanceState.UP_FOR_RETRY, None)
            task.end_date = datetime.now(timezone.utc) - timedelta(minutes=1)  # its delay is over
        return self.go_on(outcome.dag_id, outcome.run_id)

    def _answer(self, outcome: Outcome, option: str, fields: dict[str, Any]) -> None:
        answer = self.api.patch(_question_of(outcome), json={"chosen_options": [option], "params_input": fields})
        assert answer.status_code == 200, answer.text

    def let_time_pass(self, outcome: Outcome) -> Outcome:
        """Let the scheduler look until it finds that a question's time is over, and the run go on."""
        while outcome.state == DagRunState.RUNNING:
            SchedulerJobRunner(Job()).check_awaiting_input_timeouts()
            outcome = self.go_on(outcome.dag_id, outcome.run_id)
        return outcome

    def mark_failed(self, outcome: Outcome) -> None:
        """Mark a run as failed, as the page does."""
        path = f"/api/v2/dags/{outcome.dag_id}/dagRuns/{outcome.run_id}"
        assert self.api.patch(path, json={"state": "failed"}).status_code == 200

    def clear(self, outcome: Outcome, *tasks: str, downstream: bool = True) -> list[str]:
        """Clear tasks of a run as the page does, and return the ids of everything that Airflow cleared with them."""
        answer = self.api.post(
            f"/api/v2/dags/{outcome.dag_id}/clearTaskInstances",
            json={
                "dry_run": False,
                "dag_run_id": outcome.run_id,
                "task_ids": list(tasks),
                "only_failed": False,
                "include_downstream": downstream,
                "reset_dag_runs": True,
            },
        )
        assert answer.status_code == 200, answer.text
        return sorted({task["task_id"] for task in answer.json()["task_instances"]})

    def go_on(self, dag_id: str, run_id: str, stop_before: str = "") -> Outcome:
        """Perform every task that can run, in the order of the scheduler, in this process."""
        dag = self.dags[dag_id]
        session = settings.Session()
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        run.dag = _scheduled(dag)
        run.set_state(DagRunState.RUNNING)
        session.commit()
        while run.state == DagRunState.RUNNING:
            session.expire_all()
            ready, _ = run.update_state(session=session)
            for task in ready:
                task.try_number += 1
                task.state = TaskInstanceState.SCHEDULED
            session.commit()
            tasks = run.get_task_instances(session=session)
            if not ready and any(task.state == TaskInstanceState.UP_FOR_RETRY for task in tasks):
                break
            if any(task.task_id == stop_before for task in ready):
                break
            waiting = {task.state for task in tasks} - {None, *State.finished}
            if not ready and waiting == {TaskInstanceState.AWAITING_INPUT}:
                break  # a person has to answer
            for task in tasks:
                if task.state == TaskInstanceState.SCHEDULED:
                    _run_task(ti=task, task=dag.task_dict[task.task_id])
                    _let_go_on_if_answered(task, session)
        return self._outcome(run, session)

    def _outcome(self, run: DagRun, session: Any) -> Outcome:
        session.expire_all()
        states: dict[str, set[str]] = defaultdict(set)
        tries: dict[str, int] = {}
        for task in run.get_task_instances(session=session):
            states[task.task_id].add(str(task.state))
            tries[task.task_id] = max(task.try_number, tries.get(task.task_id, 0))
        rows = session.execute(
            select(XComModel.task_id, XComModel.value)
            .where(XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id, XComModel.key == "return_value")
            .order_by(XComModel.task_id, XComModel.map_index)
        )
        xcoms: dict[str, list[str]] = defaultdict(list)
        for task_id, value in rows:
            xcoms[task_id].append(value if isinstance(value, str) else json.dumps(value))
        tasks = {task_id: ", ".join(sorted(found)) for task_id, found in states.items()}
        return Outcome(run.dag_id, run.run_id, str(run.state), tasks, tries, dict(xcoms))


def _let_go_on_if_answered(task: Any, session: Any) -> None:
    """Airflow's API goes on with a task that comes to wait for an answer that is there; `_run_task` overwrites that."""
    if task.state != TaskInstanceState.AWAITING_INPUT:
        return
    question = session.scalar(select(HITLDetail).where(HITLDetail.ti_id == task.id))
    if question.response_received:
        task.set_state(TaskInstanceState.SCHEDULED)


def _question_of(outcome: Outcome) -> str:
    return f"/api/v2/dags/{outcome.dag_id}/dagRuns/{outcome.run_id}/taskInstances/approve/-1/hitlDetails"


def _scheduled(dag: DAG) -> SerializedDAG:
    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))

"""Airflow from within: its own API in the visitor's name, and what its database knows of a DAG run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi import Request
from sqlalchemy import func, select

from firestore_migrations.web.access import Visitor


class ApiRefusal(Exception):
    """Airflow's API said no.

    Attributes:
        status: the HTTP status.
        why: in Airflow's words.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


async def ask_airflow(
    request: Request, visitor: Visitor, method: str, path: str, json: Mapping[str, Any] | None = None
) -> Any:
    """Send a request to Airflow's REST API as the visitor; Airflow checks what they may do and whether it is valid.

    It goes to the application that serves this page, in this process: no address and no proxy can be wrong.

    Raises:
        ApiRefusal: Airflow's answer was an error.
    """
    transport = httpx.ASGITransport(app=request.scope["firestore_migrations.airflow"], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
        answer = await client.request(method, f"/api/v2{path}", json=json, headers=dict(visitor.credentials))
    if answer.is_error:
        raise ApiRefusal(answer.status_code, _why(answer))
    return answer.json() if answer.content else None


@dataclass(frozen=True)
class DagRunState:
    """What Airflow's database knows of a DAG run.

    Attributes:
        state: Airflow's word; it is not the verdict of a migration, the audit is.
        conf: the parameters that it was triggered with.
        tasks: for each task, how many of its instances are in which of Airflow's states.
        is_dag_paused: whether Airflow starts nothing of the DAG.
        triggered_by: the user, or how it came about.
    """

    state: str
    conf: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, int]]
    is_dag_paused: bool
    triggered_by: str


def find_dag_run(dag_id: str, run_id: str) -> DagRunState | None:
    """What Airflow knows of a DAG run; None where it does not know it, as of one from the command line."""
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        if run is None:
            return None
        rows = session.execute(
            select(TaskInstance.task_id, TaskInstance.state, func.count())
            .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
            .group_by(TaskInstance.task_id, TaskInstance.state)
        )
        tasks: dict[str, Counter[str]] = {}
        for task_id, state, count in rows:
            tasks.setdefault(task_id, Counter())[str(state or "not begun")] = count
        is_paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))
        return DagRunState(
            state=str(run.state),
            conf=dict(run.conf or {}),
            tasks=tasks,
            is_dag_paused=bool(is_paused),
            triggered_by=str(run.triggering_user_name or run.run_type),
        )


def _why(answer: httpx.Response) -> str:
    """The reason that Airflow gives, in one line."""
    try:
        detail = answer.json().get("detail", "")
    except ValueError:
        detail = ""
    if isinstance(detail, list):
        detail = "; ".join(str(item.get("msg", item)) for item in detail)
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason") or ""
    return str(detail).split("\n\n", 1)[0].strip() or f"Airflow answered {answer.status_code}"

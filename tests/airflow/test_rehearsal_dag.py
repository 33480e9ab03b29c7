"""The DAGs of rehearsals and upgrades, as Airflow has them; a rehearsal's life is in tests/runs/test_rehearsal.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firestore_migrations.rehearsal import make_rehearsal_dag
from tests.airflow.deployment import Deployment

_SCHEDULE = "AIRFLOW__FIRESTORE_MIGRATIONS__REHEARSAL_SCHEDULE"
_TARGET = "AIRFLOW__FIRESTORE_MIGRATIONS__REHEARSAL_TARGET"


def test_every_version_goes_up_in_order_and_down_in_reverse(deployment: Deployment) -> None:
    dag = deployment.dags["firestore_rehearsal"]
    order = [task.task_id for task in dag.topological_sort()]

    assert order == [
        "refresh",
        "before",
        *("v001_up", "v002_up", "v003_up", "v003_down", "v002_down", "v001_down"),
        *("compare", "report"),
    ]
    upgrade = deployment.dags["firestore_upgrade"]
    assert [task.task_id for task in upgrade.topological_sort()] == ["check", "v001", "v002", "v003"]


@pytest.mark.parametrize(
    ("target", "schedule", "expected"),
    [("", "", None), ("copy", "", "0 2 * * *"), ("copy", "30 4 * * 1", "30 4 * * 1"), ("copy", "never", None)],
)
def test_the_clock_runs_it_only_where_there_is_a_rehearsal_database(
    airflow_home: object, monkeypatch: pytest.MonkeyPatch, target: str, schedule: str, expected: str | None
) -> None:
    monkeypatch.setenv(_TARGET, target)
    if schedule:
        monkeypatch.setenv(_SCHEDULE, schedule)

    timetable: Any = make_rehearsal_dag().timetable

    assert getattr(timetable, "expression", None) == expected


def test_a_target_with_data_of_its_own_is_refused(deployment: Deployment, connect: Callable[..., None]) -> None:
    answer = deployment.api.post(
        "/api/v2/dags/firestore_rehearsal/dagRuns",
        json={"logical_date": None, "conf": {"target": "firestore_default"}},
    )
    outcome = deployment.go_on("firestore_rehearsal", answer.json()["dag_run_id"])

    assert outcome.state == "failed"
    assert outcome.tasks["refresh"] == "failed"
    assert {outcome.tasks[task] for task in ("v001_up", "v001_down", "report")} == {"failed"}

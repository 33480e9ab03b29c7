from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from tests.airflow.deployment import DAGS, Deployment

MIGRATIONS = sorted((DAGS.parent / "migrations").glob("v*.py"))
DAG_IDS = [f"firestore_{path.stem}" for path in MIGRATIONS]
OF_ALL_VERSIONS = ["firestore_rehearsal", "firestore_upgrade"]


@pytest.fixture(scope="module")
def bag(airflow_home: Path) -> DagBag:
    return DagBag(DAGS)


def test_every_migration_is_a_dag_and_none_has_an_import_error(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted([*OF_ALL_VERSIONS, *DAG_IDS])


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_a_dag_says_what_it_will_do(bag: DagBag, path: Path) -> None:
    dag = bag.dags[f"firestore_{path.stem}"]
    source = path.read_text()
    assert dag.tags == {"firestore-migrations", path.stem.partition("_")[0]}
    assert dag.description == source.removeprefix('"""').splitlines()[0].removesuffix('"""')
    assert dag.description in dag.doc_md
    assert source.rstrip() in dag.doc_md
    assert "**Steps**\n\n- `up`: each document of `" in dag.doc_md
    assert "**Checksum** `" in dag.doc_md


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_dag_runs_only_when_it_is_asked_to_and_the_lease_tells_runs_apart(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == (None, False, 16)


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_the_tasks_follow_the_life_of_a_run_and_finish_runs_whatever_happens(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "preflight": {"backup", "dry_run", "apply", "finish"},  # it gives the shards, and finish is its teardown
        "backup": {"dry_run"},
        "dry_run": {"review"},
        "review": {"approve"},
        "approve": {"apply"},
        "apply": {"verify"},
        "verify": {"finish"},
        "finish": set(),
    }
    assert [task.task_id for task in dag.tasks if task.is_setup] == ["preflight"]
    assert [task.task_id for task in dag.tasks if task.is_teardown] == ["finish"]
    assert {task.task_id for task in dag.tasks if task.is_mapped} == {"backup", "dry_run", "apply"}


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_dag_survives_its_way_through_airflows_database(bag: DagBag, dag_id: str) -> None:
    stored = json.loads(json.dumps(DagSerialization.to_dict(bag.dags[dag_id])))
    dag = DagSerialization.from_dict(stored)
    assert set(dag.task_dict) == set(bag.dags[dag_id].task_dict)
    assert dag.params.dump() == bag.dags[dag_id].params.dump()


GOOD: list[dict[str, Any]] = [
    {},
    {
        "target": "staging",
        "mode": "dry_run",
        "direction": "up",
        "sample": 0,
        "rollout_percent": 0.5,
        "shards": 1,
        "batch_size": 1,
        "max_writes_per_second": 0,
        "max_failures": "0.5%",
        "budget": 0,
    },
    {
        "mode": "apply",
        "direction": "down",
        "sample": 1000,
        "rollout_percent": 100,
        "shards": 1000,
        "batch_size": 500,
        "max_writes_per_second": 12.5,
        "max_failures": "10",
        "budget": 1.25,
    },
    dict.fromkeys(("max_writes_per_second", "budget", "sample", "shards", "batch_size", "max_failures")),
]


@pytest.mark.parametrize("conf", GOOD, ids=["none", "least", "most", "empty"])
def test_the_form_takes_every_value_that_a_parameter_may_have(deployment: Deployment, conf: dict[str, Any]) -> None:
    answer = deployment.ask_for("v001", **conf)
    assert answer.status_code == 200, answer.text
    assert answer.json()["conf"] == conf


BAD: dict[str, list[Any]] = {
    "target": ["", 5, None],
    "mode": ["up", "", None],
    "direction": ["sideways", None],
    "sample": [-1, 1001, 1.5, "5"],
    "rollout_percent": [0, -5, 100.1, "all", None],
    "shards": [0, 1001, 1.5, "2"],
    "batch_size": [0, 501, 2.5, "500"],
    "max_writes_per_second": [-1, "fast"],
    "max_failures": ["-1", "many", "1%%", "", "500%", "100.1%", "1.5"],
    "budget": [-0.01, "cheap"],
    "window": [
        "yesterday",
        "2026-13-01/2026-02-01",
        "2026-03-01/",
        "2026-03-01T24:00/2026-04-01",
        "2026-03-32/2027-01-01",
    ],
    "without_rehearsal": ["short", "          "],
}


@pytest.mark.parametrize("name", BAD)
def test_the_form_refuses_a_bad_value_and_names_the_parameter(deployment: Deployment, name: str) -> None:
    for value in BAD[name]:
        answer = deployment.ask_for("v001", **{name: value})
        assert answer.status_code == 400, (value, answer.text)
        assert f"Invalid input for param {name}" in answer.json()["detail"]


def test_the_form_offers_the_configured_targets_and_no_other(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__TARGETS", "staging, production")
    deployment.parse()
    target = deployment.dags[DAG_IDS[0]].params.get_param("target")
    assert (target.value, target.schema["enum"]) == ("staging", ["staging", "production"])
    assert deployment.ask_for("v001", target="firestore_default").status_code == 400
    assert deployment.ask_for("v001", target="production").status_code == 200


_NEW_MODULES = """
import sys
from airflow.dag_processing.dagbag import DagBag
assert len(DagBag(sys.argv[1]).dags) == 1
before = set(sys.modules)
assert len(DagBag(sys.argv[2]).dags) == 5
print(*sorted(set(sys.modules) - before))
"""


def test_parsing_loads_this_package_and_nothing_that_airflow_has_not_loaded_already(
    airflow_home: Path, tmp_path: Path
) -> None:
    """Measured against a DAG file that does nothing; in a process of its own, as the DAG processor has one."""
    (tmp_path / "nothing.py").write_text("from airflow.sdk import DAG\ndag = DAG('nothing')\n")
    done = subprocess.run(
        [sys.executable, "-c", _NEW_MODULES, tmp_path, DAGS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    ours = {name for name in loaded if name.startswith(("firestore_migrations", "unusual_prefix_"))}
    assert "firestore_migrations" in ours
    assert loaded - ours - sys.stdlib_module_names <= {"airflow", "asgiref"}  # as Airflow's own human gate does

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from demo.airflow_api import AirflowApi
from demo.airflow_home import AirflowHome
from demo.recoup import fingerprint, seed
from demo.standalone import Standalone
from firestore_migrations.emulator import Emulator
from firestore_migrations.runs.storage import Folder
from tests.celery.services import free_port
from tests.celery.waiting import wait_for

DAGS = {"v001": "firestore_v001_add_user_stats", "v002": "firestore_v002_migrate_pricing"}
SHARDS = {"whole": 1, "sharded": 8}


def _begin(api: AirflowApi, dag_id: str, target: str) -> str:
    conf = {"target": target, "shards": SHARDS[target]}
    run = api.request("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
    return str(run["dag_run_id"])


def _await(api: AirflowApi, dag_id: str, target: str, run_id: str) -> None:
    path = f"/dags/{dag_id}/dagRuns/{run_id}"

    def ended() -> dict[str, Any] | None:
        found = api.request("GET", path)
        return found if found["state"] in ("success", "failed") else None

    assert wait_for(ended, 240)["state"] == "success"
    tasks = api.request("GET", f"{path}/taskInstances", params={"limit": 1000})["task_instances"]
    assert {sum(task["task_id"] == phase for task in tasks) for phase in ("backup", "dry_run", "apply")} == {
        SHARDS[target]
    }


def _plan(home: AirflowHome, project: str, target: str, version: str, run_id: str) -> list[tuple[str, ...]]:
    """What the shards planned together: every row but its number and its times."""
    folder = Folder(home.storage) / project / target / version / run_id / "plan"
    files = sorted(Path(str(folder)).glob("*/*.parquet"))
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    return sorted((row["path"], row["source"], row["step"], row["operation"]) for row in rows)


@pytest.fixture
def home(tmp_path: Path) -> AirflowHome:
    return AirflowHome(tmp_path / "home")


def test_a_run_in_eight_shards_on_four_workers_plans_and_writes_what_one_shard_does(
    emulator: Emulator, project: str, home: AirflowHome
) -> None:
    port = free_port()
    for database in SHARDS:
        seed(emulator.host, project, database, scale=0.2)
    with home.hold():
        home.configure(port)
        home.create_database()
        passwords = home.passwords()
        with (
            Standalone(home) as airflow,
            AirflowApi(f"http://127.0.0.1:{port}", "admin", passwords["admin"]) as api,
        ):
            wait_for(lambda: airflow.check() or (api.is_healthy() and set(DAGS.values()) <= api.dags()), 240)
            for database in SHARDS:
                place = {"project": project, "database": database, "emulator_host": emulator.host}
                api.set_connection(database, "firestore", place)
            plans: dict[str, list[Any]] = {target: [] for target in SHARDS}
            for version, dag_id in DAGS.items():
                runs = {target: _begin(api, dag_id, target) for target in SHARDS}
                for target, run_id in runs.items():
                    _await(api, dag_id, target, run_id)
                    plans[target].append(_plan(home, project, target, version, run_id))
    assert [len(plan) > 100 for plan in plans["whole"]] == [True, True]
    assert plans["sharded"] == plans["whole"]
    # The statistics of users hold the time that each run began.
    data = {target: fingerprint(emulator.host, project, target) for target in SHARDS}
    for prints in data.values():
        assert prints.pop("user_stats")
    assert data["sharded"] == data["whole"]

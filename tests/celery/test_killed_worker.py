from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from firestore_migrations.emulator import Emulator
from tests.celery.cluster import Cluster, task_states
from tests.celery.waiting import wait_for
from tests.runs.world import World

DAG = "firestore_v001_count_up"
DOCUMENTS, SHARDS, A_SECOND, BATCH = 20_000, 8, 500, 50


@pytest.fixture
def world(emulator: Emulator, project: str, tmp_path: Path) -> World:
    made = World(emulator.host, project, tmp_path / "storage")
    for first in range(0, DOCUMENTS, 500):
        made.write({f"counters/{number:05d}": {"n": number} for number in range(first, first + 500)})
    return made


def _settings(world: World) -> dict[str, str]:
    extra = {
        "project": world.address.project,
        "emulator_host": world.address.emulator_host,
        "storage": f"file://{world.storage}",
    }
    return {
        "AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER": str(Path(__file__).parent / "migrations"),
        "AIRFLOW_CONN_FIRESTORE_DEFAULT": json.dumps({"conn_type": "firestore", "extra": extra}),
    }


def test_a_run_whose_worker_is_killed_amid_apply_ends_verified_with_every_document_counted_up_once(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "airflow").mkdir()
    with Cluster(tmp_path / "airflow", _settings(world)) as cluster:
        cluster.wait_for_dag(DAG)
        began = time.monotonic()
        conf = {"shards": SHARDS, "batch_size": BATCH, "max_writes_per_second": A_SECOND}
        run = cluster.api.request("POST", f"/dags/{DAG}/dagRuns", json={"logical_date": None, "conf": conf})
        run_id = run["dag_run_id"]

        def state() -> str:
            found = cluster.api.request("GET", f"/dags/{DAG}/dagRuns/{run_id}")["state"]
            return found if found in ("success", "failed") else ""

        def batches() -> int:
            return world.audit.count_batches("v001", run_id)

        assert wait_for(lambda: state() or batches() >= DOCUMENTS // BATCH // 4, 300, cluster.log) is True, (
            cluster.log()
        )
        ended = cluster.kill("one")
        killed, at_the_kill = time.monotonic(), batches()
        assert at_the_kill < DOCUMENTS // BATCH

        ended_as = wait_for(state, 420, cluster.log)
        over = time.monotonic()
        tasks = task_states(cluster.api, DAG, run_id)
        with capsys.disabled():
            again = sum(task["try_number"] > 1 for task in tasks if task["task_id"] == "apply")
            print(  # noqa: T201 -- the figures are what this test is run for
                f"\n{DOCUMENTS} documents, {SHARDS} shards, 2 workers; {ended} processes of one killed "
                f"{killed - began:.0f} s after the trigger, after {at_the_kill} of {DOCUMENTS // BATCH} batches; "
                f"{again} shards were tried again; {ended_as} {over - killed:.0f} s after the kill"
            )

    (audited,) = world.audit.runs("v001").values()
    wrong = [path for path, data in world.data().items() if data["n"] != int(path.rpartition("/")[2]) + 1]
    tries = [task["try_number"] for task in tasks if task["task_id"] == "apply"]
    assert (ended_as, world.state(), wrong) == ("success", "verified", [])
    assert (audited["counts"]["updated"], audited["counts"]["failed"]) == (DOCUMENTS, 0)
    assert (len(tries), max(tries) > 1) == (SHARDS, True)

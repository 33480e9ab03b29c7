"""What Airflow adds to a run: the same migration on a running Airflow, of few documents and of many.

Scheduler, LocalExecutor, API server, DAG processor and triggerer, on SQLite, as `make up` starts them. Airflow's own
cost of a run is what the DAG run takes from its start to its end, less what the engine alone takes for its phases.
"""

from __future__ import annotations

import socket
import statistics
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contender import Contender
from benchmarks.ours import perform_all
from benchmarks.table import Promise
from benchmarks.workload import WORKLOADS
from demo.airflow_api import AirflowApi
from demo.airflow_home import AirflowHome
from demo.standalone import Standalone
from firestore_migrations import emulator
from firestore_migrations.firestore.connection import Address, Writer

_MIGRATIONS = Path(__file__).parent / "migrations"
_DAG = "firestore_v001_change_two_fields"
_PROJECT = "demo-bench"
_READY_SECONDS = 300
_LONGEST = 600
_WORKLOAD = WORKLOADS["small"]


class Taken(NamedTuple):
    """What one DAG run took, in seconds: all of it, its tasks by name, and what the engine alone takes."""

    documents: int
    run: float
    tasks: dict[str, float]
    engine: float

    @property
    def airflow(self) -> float:
        """What Airflow adds."""
        return self.run - self.engine


def measure(sizes: list[int], rounds: int) -> list[Taken]:
    """Run the migration on each number of documents so many times, by turns."""
    taken = []
    with tempfile.TemporaryDirectory() as folder, emulator.start(heap="4g") as server:
        home = AirflowHome(Path(folder), {"firestore_migrations": {"migrations_folder": _MIGRATIONS}})
        with home.hold():
            port = _free_port()
            home.configure(port)
            home.create_database()
            password = home.passwords()["admin"]
            with Standalone(home) as airflow, AirflowApi(f"http://127.0.0.1:{port}", "admin", password) as api:
                _wait(lambda: airflow.check() or (api.is_healthy() and _DAG in api.dags()), _READY_SECONDS)
                extra = {"project": _PROJECT, "emulator_host": server.host, "writes_per_second": 0}
                api.set_connection("firestore_default", "firestore", extra)
                for number in range(rounds):
                    for documents in sizes:
                        server.reset()
                        engine = _engine_alone(server.host, documents)
                        server.reset()
                        taken.append(_dag_run(api, server.host, documents, engine))
                        print(
                            f"through Airflow, round {number + 1}: {documents:,} documents in {taken[-1].run:.1f} s, "
                            f"of which the engine alone takes {engine:.1f} s",
                            file=sys.stderr,
                        )
    return taken


def promises(taken: list[Taken]) -> list[Promise]:
    """Airflow's own cost, at each number of documents."""
    return [
        Promise(f"seconds that Airflow adds at {size:,} documents", _median(taken, size), 25, is_most=True)
        for size in sorted({one.documents for one in taken})
    ]


def show(taken: list[Taken]) -> None:
    """Print what each number of documents took, task by task."""
    print("\nThrough Airflow on LocalExecutor: seconds, medians")
    for size in sorted({one.documents for one in taken}):
        of_size = [one for one in taken if one.documents == size]
        run, engine = (statistics.median(getattr(one, name) for one in of_size) for name in ("run", "engine"))
        tasks = {name: statistics.median(one.tasks[name] for one in of_size) for name in of_size[0].tasks}
        shown = ", ".join(f"{name} {seconds:.1f}" for name, seconds in tasks.items())
        print(f"{size:10,} documents: {run:.1f} in all, the engine alone {engine:.1f}; its tasks: {shown}")
    for promise in promises(taken):
        print(promise.line())


def _median(taken: list[Taken], documents: int) -> float:
    return statistics.median(one.airflow for one in taken if one.documents == documents)


def _engine_alone(host: str, documents: int) -> float:
    _load(host, documents)
    contender = Contender()
    with tempfile.TemporaryDirectory() as storage:
        perform_all(contender, Address(_PROJECT, emulator_host=host), Path(storage))
    return sum(cost.seconds for cost in contender.costs.values())


def _dag_run(api: AirflowApi, host: str, documents: int, engine: float) -> Taken:
    _load(host, documents)
    run_id = api.request("POST", f"/dags/{_DAG}/dagRuns", json={"logical_date": None, "conf": {"mode": "apply"}})[
        "dag_run_id"
    ]
    path = f"/dags/{_DAG}/dagRuns/{run_id}"
    _wait(lambda: api.request("GET", path)["state"] in ("success", "failed"), _LONGEST)
    run = api.request("GET", path)
    if run["state"] != "success" or not _is_done(host, documents):
        raise SystemExit(f"The DAG run of {documents} documents ended as {run['state']}.")
    tasks = api.request("GET", f"{path}/taskInstances")["task_instances"]
    seconds = {task["task_id"]: task["duration"] for task in sorted(tasks, key=_began) if task["duration"]}
    return Taken(documents, _at(run["end_date"]) - _at(run["queued_at"]), seconds, engine)


def _load(host: str, documents: int) -> None:
    with Writer(Address(_PROJECT, emulator_host=host)) as writer:
        _WORKLOAD.of(documents).load(writer)


def _is_done(host: str, documents: int) -> bool:
    with Writer(Address(_PROJECT, emulator_host=host)) as writer:
        return _WORKLOAD.is_done(writer, documents)


def _began(task: dict[str, Any]) -> str:
    return task["start_date"] or ""


def _at(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(look: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit("Airflow did not get there in time.")
        time.sleep(0.5)

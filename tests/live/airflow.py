"""A running Airflow: scheduler, LocalExecutor, API server, DAG processor and triggerer, as `make up` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.airflow_api import AirflowApi
from demo.airflow_home import PROJECT, AirflowHome
from demo.standalone import Standalone
from tests.celery.services import free_port
from tests.celery.waiting import wait_for

_ENDED = ("success", "failed")
_READING = 5  # seconds; that an answer which comes at once counts too, tests/airflow/test_approval.py shows
_PATIENCE = 420  # seconds, on a machine that is busy with other tests


class Live:
    """Airflow as a person has it before them: by its API, as administrator, and by its commands."""

    def __init__(self, home: AirflowHome, airflow: Standalone, api: AirflowApi, url: str) -> None:
        self.url = url
        self.passwords = home.passwords()
        self._home = home
        self._airflow = airflow
        self._api = api

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Trigger a DAG; the run's id."""
        answer = self._api.request("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(answer["dag_run_id"])

    def run(self, dag_id: str, **conf: Any) -> tuple[str, str]:
        """Trigger a DAG and wait for its end; the run's id and Airflow's state of it."""
        run_id = self.trigger(dag_id, **conf)
        return run_id, self.end_of(dag_id, run_id)

    def end_of(self, dag_id: str, run_id: str) -> str:
        """Wait until a run has ended; Airflow's state of it."""
        return self._wait_for(lambda: (state := self._state(dag_id, run_id)) in _ENDED and state)

    def runs(self, dag_id: str) -> list[str]:
        """The ids of a DAG's runs, oldest first."""
        found = self._api.request("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "id", "limit": 100})
        return [str(run["dag_run_id"]) for run in found["dag_runs"]]

    def run_of(self, dag_id: str, part: str) -> str:
        """Wait for a run whose id has this part; its id."""
        return self._wait_for(lambda: next((run for run in self.runs(dag_id) if part in run), ""))

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The state of each task of a run."""
        found = self._api.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return {task["task_id"]: task["state"] for task in found["task_instances"]}

    def result(self, dag_id: str, run_id: str, task: str) -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        return self._api.request("GET", path)["value"]

    def answer(self, dag_id: str, run_id: str, option: str, **fields: Any) -> dict[str, Any]:
        """Wait for a run's question, read it as long as a person does, and answer it; what the page showed."""
        self._wait_for(lambda: self.tasks(dag_id, run_id)["approve"] == "awaiting_input")
        time.sleep(_READING)
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        page: dict[str, Any] = self._api.request("GET", path)
        self._api.request("PATCH", path, json={"chosen_options": [option], "params_input": fields})
        return page

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """One request to Airflow's API, as administrator."""
        return self._api.request(method, path, **arguments)

    def command(self, *arguments: str) -> str:
        """Run a command of Airflow's, or ours, on this Airflow; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=PROJECT,
            env=self._home.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stdout + done.stderr
        return done.stdout

    def _state(self, dag_id: str, run_id: str) -> str:
        return str(self._api.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def _wait_for(self, look: Any) -> Any:
        return wait_for(lambda: self._airflow.check() or look(), _PATIENCE)


@contextmanager
def living(
    folder: Path, settings: Mapping[str, Mapping[str, object]], connections: Mapping[str, Mapping[str, object]]
) -> Iterator[Live]:
    """Start an Airflow with the DAGs of this project and of `tests/live/dags`, and end it.

    Args:
        folder: its home.
        settings: Airflow's, by section.
        connections: the extra of each connection of type firestore.
    """
    dags = folder / "dags"
    dags.mkdir(parents=True)
    for file in [*(PROJECT / "dags").glob("*.py"), *(Path(__file__).parent / "dags").glob("*.py")]:
        (dags / file.name).write_bytes(file.read_bytes())
    port = free_port()
    core = {"core": {"dags_folder": dags}}
    home = AirflowHome(folder / "home", {**core, **settings})
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))
    with home.hold():
        home.configure(port)
        home.create_database()
        password = home.passwords()["admin"]
        with Standalone(home) as airflow, AirflowApi(f"http://127.0.0.1:{port}", "admin", password) as api:
            wanted = {"firestore_rehearsal", "firestore_upgrade"}
            wait_for(lambda: airflow.check() or (api.is_healthy() and wanted <= api.dags()), _PATIENCE)
            for name, extra in connections.items():
                api.set_connection(name, "firestore", extra)
            yield Live(home, airflow, api, f"http://127.0.0.1:{port}")

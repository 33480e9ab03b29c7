"""Airflow on Celery: scheduler, DAG processor, API server and two workers, with the settings of docker-compose.yml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import yaml

from demo.airflow_api import AirflowApi
from tests.celery.services import free_port, postgres, redis
from tests.celery.waiting import wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
PASSWORD = "for this test alone"
_OF_THE_COMPOSE_FILE = ("AIRFLOW__CELERY", "AIRFLOW__SCHEDULER__", "AIRFLOW__CORE__EXECUTOR")
_COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}
WORKERS = ("one", "two")


def celery_settings() -> dict[str, str]:
    """What docker-compose.yml sets of Celery and the scheduler, so that it is what was tried."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return {name: value for name, value in compose["x-environment"].items() if name.startswith(_OF_THE_COMPOSE_FILE)}


class Cluster:
    """The processes, within a `with` block; each leads a session of its own.

    Args:
        folder: AIRFLOW_HOME.
        settings: what Airflow is told besides, as environment variables.
        concurrency: tasks that one worker runs at once.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], concurrency: int = 2) -> None:
        self.folder = folder
        self._port = free_port()
        self._concurrency = concurrency
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            database = begun.enter_context(postgres())
            broker = begun.enter_context(redis())
            self._environment = self._make_environment(database, broker)
            begun.callback(self._stop)
            assert self._airflow("migrate", ["db", "migrate"]).wait() == 0, self.log()
            for name, command in _COMMANDS.items():
                self._airflow(name, command)
            for name in WORKERS:
                self._airflow(name, ["celery", "worker", *self._options_of(name)])
            self.api = begun.enter_context(AirflowApi(f"http://127.0.0.1:{self._port}", "admin", PASSWORD))
            self._open = begun.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the API serves a DAG."""

        def is_there() -> bool:
            dead = [
                name for name, process in self._processes.items() if name != "migrate" and process.poll() is not None
            ]
            assert not dead, self.log()
            with suppress(httpx.HTTPError):
                return dag_id in self.api.dags()
            return False

        wait_for(is_there, 240, self.log)

    def kill(self, worker: str) -> int:
        """End a worker and all that it runs at once, like a machine that loses its power; how many processes."""
        leader = psutil.Process(self._processes[worker].pid)
        family = [leader, *leader.children(recursive=True)]
        for process in family:  # nobody is left to start another one
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        family += [process for process in leader.children(recursive=True) if process not in family]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._processes[worker].wait()
        return len(family)

    def log(self) -> str:
        """The end of what each process has said."""
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in sorted(self.folder.glob("*.log")))

    def _options_of(self, worker: str) -> list[str]:
        pid = str(self.folder / f"{worker}.pid")  # one file would hold for both
        return [
            *("--celery-hostname", f"{worker}@%h", "--concurrency", str(self._concurrency)),
            *("--skip-serve-logs", "--pid", pid),
        ]

    def _airflow(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._processes[name]

    def _make_environment(self, database: str, broker: str) -> dict[str, str]:
        (self.folder / "passwords.json").write_text(json.dumps({"admin": PASSWORD}))
        (self.folder / "no-plugins").mkdir()
        mine: dict[str, Any] = {
            "CORE__DAGS_FOLDER": ROOT / "dags",
            "CORE__PLUGINS_FOLDER": self.folder / "no-plugins",  # the package is installed
            "CORE__LOAD_EXAMPLES": False,
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.folder / "passwords.json",
            "CORE__FERNET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "API__HOST": "127.0.0.1",
            "API__PORT": self._port,
            "API__WORKERS": 1,
            "API__SECRET_KEY": "of a test",
            "API_AUTH__JWT_SECRET": "of a test; " * 8,  # the algorithm wants as much
            "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{database}",
            "CELERY__BROKER_URL": broker,
            "SCHEDULER__ENABLE_HEALTH_CHECK": False,
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            **celery_settings(),
            **{f"AIRFLOW__{name}": str(value) for name, value in mine.items()},
            **self._settings,
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONWARNINGS": "ignore",
        }

    def _stop(self) -> None:
        family = [
            process
            for started in self._processes.values()
            if started.poll() is None
            for process in (psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True))
        ]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(family, timeout=10)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self._processes.values():
            started.wait()


def task_states(api: AirflowApi, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """Every task instance of a run."""
    found: list[dict[str, Any]] = api.request(
        "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 1000}
    )["task_instances"]
    return found

"""What the tables may ask for: a world for all rows of a table, and a terminal for each row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import DAG

from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.operators.migration import FirestoreMigrationOperator
from firestore_migrations.params import make_params
from tests.airflow.conftest import api  # noqa: F401 -- a fixture
from tests.cli.conftest import Terminal
from tests.runs.world import World


@pytest.fixture(scope="module")
def world(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two users, for all rows of a table together: what one row leaves behind, the next one finds."""
    made = World(emulator.host, f"demo-{uuid4().hex[:12]}", tmp_path_factory.mktemp("world") / "storage")
    made.write({"users/ada": {"n": 1}, "users/bob": {"n": 2}})
    yield made
    made.close()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Describe the connection `firestore_default` by the fields of its extra."""

    def connect(**extra: Any) -> None:
        connection = json.dumps({"conn_type": "firestore", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_DEFAULT", connection)

    return connect


@pytest.fixture
def terminal(world: World, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Somebody's terminal, whose `firestore_default` leads to the world; the folder of migrations is empty."""
    import airflow  # noqa: F401 -- its loggers keep the standard output of now

    connect(**extra_of(world))
    folder = tmp_path / "project"
    (folder / "migrations").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(folder / "dags"))
    return Terminal(folder)


def extra_of(world: World) -> dict[str, Any]:
    """The extra of a connection that leads to a world."""
    address = world.address
    return {
        "project": address.project,
        "emulator_host": address.emulator_host,
        "storage": f"file://{world.storage}",
    }


class Perform:
    """Performs a phase as a task does, and returns what the failed task says."""

    def __call__(
        self, phase: str, target: str = "firestore_default", conf: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        from airflow.sdk.exceptions import AirflowFailException

        with DAG("firestore_v001_bad", schedule=None, params=make_params()) as dag:
            operator = FirestoreMigrationOperator(task_id=phase, version="v001", phase=phase, target=target)
        run = SimpleNamespace(run_id="run-1", triggering_user_name="ada", run_type="manual", conf=conf)
        with pytest.raises((AirflowFailException, FirestoreMigrationsError)) as caught:
            operator.execute({"dag": dag, "dag_run": run, "params": {**dag.params.dump(), **conf}})
        error = caught.value
        return str(error) if isinstance(error, AirflowFailException) else f"{type(error).__name__}: {error}"


@pytest.fixture
def perform(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Perform:
    """A worker that looks for migrations where the terminal does."""
    monkeypatch.setenv("AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER", str(terminal.folder / "migrations"))
    return Perform()

"""What the tests of Airflow's edge may ask for besides: a deployment against an emulator, and small worlds of data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.emulator import Emulator
from tests.airflow.deployment import Deployment
from tests.runs.world import World


@pytest.fixture(scope="session")
def api(airflow_home: Path) -> Iterator[Any]:
    """Airflow's web application, in this process."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        environment.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET", "a secret of 64 bytes, the least that a signature with SHA-512 takes"
        )
        client = TestClient(create_app(apps="core"), base_url="http://testserver")
        token = client.get("/auth/token").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Describe the connection `firestore_default` by the fields of its extra."""

    def connect(**extra: Any) -> None:
        connection = json.dumps({"conn_type": "firestore", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_DEFAULT", connection)

    return connect


@pytest.fixture
def world(emulator: Emulator, project: str, tmp_path: Path) -> Iterator[World]:
    """The database that `firestore_default` leads to."""
    made = World(emulator.host, project, tmp_path / "storage")
    yield made
    made.close()


@pytest.fixture
def deployment(api: Any, world: World, connect: Callable[..., None]) -> Deployment:
    """Airflow with the shipped migrations, against a database of the test's own."""
    address = world.address
    connect(project=address.project, emulator_host=address.emulator_host, storage=f"file://{world.storage}")
    made = Deployment(api)
    made.parse()
    return made


@pytest.fixture
def airflow(airflow_home: Path) -> Callable[..., str]:
    """Run the command `airflow` in a process of its own, and return its standard output."""

    def run(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run

"""What every test may ask for: the emulator of the whole test run, and a project of its own in it."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from firestore_migrations.emulator import HOST_VARIABLE, Emulator, start

# It redirects every client of the process: a test that forgets to name its own host would pass by accident.
GIVEN_HOST = os.environ.pop(HOST_VARIABLE, None)

# Importing Airflow makes its home, with a configuration and a database: never the person's own.
AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=AIRFLOW_HOME,
    AIRFLOW__CORE__FERNET_KEY="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",  # one for all processes of the tests
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL="0",  # what is parsed is served at once
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parent.parent / "dags"),
)

# The emulator and a shared machine set the pace, not the code under test.
hypothesis.settings.register_profile("emulator", deadline=None)
hypothesis.settings.load_profile("emulator")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/chaos is told; pytest reads options of its own only here."""
    parser.addoption("--kills", type=int, default=10, help="workers that tests/chaos kills, each way")
    parser.addoption("--pictures", default="", help="where tests/web leaves its pictures of the page")
    parser.addoption("--seed", default="1", help="what all chance of tests/chaos is drawn from")


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """One for the whole run: the one that FIRESTORE_EMULATOR_HOST named, or a new one."""
    with pytest.MonkeyPatch.context() as environment:
        if GIVEN_HOST:
            environment.setenv(HOST_VARIABLE, GIVEN_HOST)
        running = start()
    with running:
        yield running


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The AIRFLOW_HOME of the whole run, with a database. Its DAGs folder is this repository's, and not parsed yet."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(AIRFLOW_HOME)


@pytest.fixture
def project() -> str:
    """A project id that no other test has; its data are isolated from theirs."""
    return f"demo-{uuid4().hex[:12]}"

"""What the tests of the command line may ask for: a folder of migrations, a database, and ways to type a command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from firestore_migrations.authoring.discovery import discover
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.cli import main
from firestore_migrations.emulator import Emulator
from tests.runs.world import World

SCRIPT = Path(sys.executable).with_name("firestore-migrations")
ADD_GREETING = '''\
"""Greet every user."""

from firestore_migrations import Database, Document, each_document


@each_document("users")
def up(user: Document, db: Database) -> None:
    user.setdefault("greeting", "hello")


@up.verify
def is_greeted(user: Document, db: Database) -> None:
    assert "greeting" in user
'''
ADD_STATE = ADD_GREETING.replace("greeting", "state").replace("Greet every user", "Give every user a state")


@dataclass(frozen=True)
class Typed:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of standard output, which must be one JSON value."""
        return json.loads(self.out)


class Terminal:
    """Somebody's terminal, in a folder with `migrations/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, source: str) -> Path:
        """Write a file of migrations/."""
        path = self.folder / "migrations" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return path

    def migration(self, version: str) -> Migration:
        found = discover(self.folder / "migrations").migrations
        return next(migration for migration in found if migration.version == version)

    def type(self, *words: str) -> Typed:
        """Perform a command in this process. What reaches the file descriptors, as Airflow's log, is not looked at."""
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            try:
                code = main(words)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Typed(code, out.getvalue(), err.getvalue())

    def script(self, *words: str, **environment: str) -> Typed:
        """Perform a command as its own process, by the console script."""
        done = subprocess.run(
            [SCRIPT, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
        )
        return Typed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """As a person has it who has installed the package and has no DAGs folder."""
    import airflow  # noqa: F401 -- its loggers keep the standard output of now

    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(folder / "dags"))
    return Terminal(folder)


@pytest.fixture
def world(
    emulator: Emulator, project: str, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Three users, the database that `firestore_default` leads to, and two migrations for it."""
    storage = tmp_path / "storage"
    extra = {"project": project, "emulator_host": emulator.host, "storage": f"file://{storage}"}
    monkeypatch.setenv("AIRFLOW_CONN_FIRESTORE_DEFAULT", json.dumps({"conn_type": "firestore", "extra": extra}))
    terminal.write("v001_add_greeting.py", ADD_GREETING)
    terminal.write("v002_add_state.py", ADD_STATE)
    made = World(emulator.host, project, storage)
    made.write({f"users/{name}": {"name": name} for name in ("ada", "bob", "cyd")})
    yield made
    made.close()


def in_a_terminal(terminal: Terminal, *words: str, types: str = "") -> tuple[Typed, str]:
    """Perform a command whose standard input and error are a terminal, in which somebody types; also what it showed."""
    ours, theirs = pty.openpty()
    os.write(ours, types.encode())
    streams = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": theirs}
    with subprocess.Popen([SCRIPT, *words], cwd=terminal.folder, **streams) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # Linux says so when the last writer has gone
            while chunk := os.read(ours, 65536):
                shown += chunk
        out = process.communicate()[0]
    os.close(ours)
    return Typed(process.returncode, out.decode(), ""), shown.decode()


def until(holds: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until something holds, while a process works that is to bring it about."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)

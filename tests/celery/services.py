"""Redis and Postgres, each with a private folder and a free port of 127.0.0.1; nothing of them is left afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.celery.waiting import wait_for

_NOBODY = "nobody"  # Postgres refuses to run as root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find(program: str, package: str) -> str:
    """The path of a program: where it is missing, root on Debian installs its package, and others are told how to."""
    if found := _found(program):
        return found
    apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        # Debian starts a service that it installs; RUNLEVEL tells it that this is not the time.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["apt-get", "update", "--quiet"], apt):
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    found = _found(program)
    assert found, f"There is no {program}. Install it: sudo {' '.join(apt)}"
    return found


def _found(program: str) -> str:
    places = [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    return shutil.which(program, path=os.pathsep.join(places)) or ""


@contextmanager
def redis() -> Iterator[str]:
    """A Redis that keeps nothing; its URL."""
    program, port = find("redis-server", "redis-server"), free_port()
    with _folder() as folder:
        options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
        with _running([program, *options], folder / "log", lambda: _answers(port)):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres() -> Iterator[str]:
    """A Postgres with one database; its address behind `postgresql://`."""
    program, initdb, port = find("postgres", "postgresql"), find("initdb", "postgresql"), free_port()
    with _folder() as folder:
        user = _NOBODY if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user)
        data = str(folder / "data")
        make = [initdb, "--pgdata", data, "--username", "airflow", "--auth", "trust", "--encoding", "UTF8", "--no-sync"]
        subprocess.run(
            [*make, "--locale", "C"], check=True, cwd=folder, user=user, extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
        command = [program, "-D", data, *(part for setting in settings for part in ("-c", setting))]
        with _running(command, folder / "log", lambda: _answers(port), user):
            yield f"airflow@127.0.0.1:{port}/postgres"


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="firestore-migrations-celery-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(command: list[str], log: Path, is_ready: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            user=user,
            extra_groups=[] if user else None,
            start_new_session=True,
        )
    try:
        wait_for(is_ready, 30, lambda: log.read_text()[-2000:])
        yield
    finally:
        process.terminate()  # of Postgres, it ends when its clients have
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Airflow's page with the migrations, on an emulator with Recoup's data, until Ctrl-C.

    python -m demo.up

Everything listens on 127.0.0.1 alone. Nothing is left running afterwards; data and history begin anew each time.
"""
# ruff: noqa: TID253 - nothing that Airflow parses imports this module

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from grpc import RpcError
from httpx import HTTPError

from demo.airflow_api import AirflowApi
from demo.airflow_home import HOMES, PROJECT, USERS, AirflowHome
from demo.recoup import is_empty, seed, this_day
from demo.show import Screen
from demo.standalone import Standalone
from firestore_migrations import emulator
from firestore_migrations.authoring.discovery import discover
from firestore_migrations.errors import ConfigurationError, FirestoreMigrationsError

_PROJECT = "demo-recoup"
_DATABASES = {"firestore_default": "(default)", "recoup_production": "production", "recoup_rehearsal": "rehearsal"}
_EXTRAS: dict[str, dict[str, object]] = {
    "recoup_production": {"environment": "production", "approval_timeout": "1h"},
    "recoup_rehearsal": {"rehearsal_of": "recoup_production"},
}
_READY_SECONDS = 300
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Serve until a signal says to stop.

    Returns:
        0 after Ctrl-C; 1 if something did not start, or ended by itself.
    """
    parser = argparse.ArgumentParser(prog="python -m demo.up", description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the data set (default: 1.0)")
    parser.add_argument("--port", type=int, default=8080, help="the page's; if it is taken, the next free one")
    parser.add_argument("--home", type=Path, default=HOMES / "up", help="AIRFLOW_HOME (default: %(default)s)")
    options = parser.parse_args()
    screen = Screen(sys.stdout)
    targets = {"targets": ",".join(_DATABASES), "rehearsal_target": "recoup_rehearsal"}
    home = AirflowHome(options.home, {"firestore_migrations": targets})
    for number in _SIGNALS:  # a shell's background job is born ignoring SIGINT
        signal.signal(number, _stop_once)
    try:
        with home.hold():
            _serve(screen, home, options.port, options.scale)
    except KeyboardInterrupt:
        screen.text("Stopped. Nothing is left running.")
        return 0
    except (FirestoreMigrationsError, HTTPError, RpcError, OSError) as error:
        screen.error(f"{type(error).__name__}: {error}\nAirflow's log: {home.log}")
    return 1


def _stop_once(_number: int, _frame: object) -> None:
    """Begin to stop; further signals do not disturb that."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(screen: Screen, home: AirflowHome, wanted_port: int, scale: float) -> None:
    port = _free_port(wanted_port)
    url = f"http://127.0.0.1:{port}"
    home.configure(port)
    passwords = home.passwords()
    screen.title("Airflow with Recoup's migrations")
    screen.text(f"[dim]Log: {home.log}[/]\n")
    with ThreadPoolExecutor(1) as aside:
        database = aside.submit(home.create_database)
        with screen.step("Firestore emulator") as result:
            running = emulator.start(log=home.emulator_log)
            result.append(running.host)
        with running:
            with screen.step("Recoup's data") as result:
                result.append(_seed(running.host, scale))
            with screen.step("Airflow's SQLite database"):
                database.result()
            with Standalone(home) as airflow:
                try:
                    with (
                        screen.step("Airflow: API server, scheduler, DAG processor, triggerer"),
                        AirflowApi(url, "admin", passwords["admin"]) as api,
                    ):
                        _wait_until_ready(airflow, api, running.host)
                    _show(screen, url, passwords, home)
                    while True:
                        airflow.check()
                        time.sleep(1)
                except KeyboardInterrupt:
                    screen.text("\nStopping Airflow and the emulator ...")
                    raise


def _seed(host: str, scale: float) -> str:
    if not is_empty(host, _PROJECT):
        return "there already, in the emulator that FIRESTORE_EMULATOR_HOST names"
    for database in ("production", "(default)"):
        counts = seed(host, _PROJECT, database, scale=scale, today=this_day())
    return "twice " + ", ".join(f"{count:,} {collection}" for collection, count in counts.items())


def _wait_until_ready(airflow: Standalone, api: AirflowApi, host: str) -> None:
    """Wait until every process is healthy and every migration is a DAG on the page."""
    wanted = {migration.dag_id for migration in discover(PROJECT / "migrations").migrations}
    deadline = time.monotonic() + _READY_SECONDS
    is_connected = False
    while time.monotonic() < deadline:
        airflow.check()
        if api.is_healthy():
            if not is_connected:
                for name, database in _DATABASES.items():
                    place = {"project": _PROJECT, "database": database, "emulator_host": host}
                    api.set_connection(name, "firestore", {**place, **_EXTRAS.get(name, {})})
                is_connected = True
            if wanted <= api.dags():
                return
        time.sleep(0.5)
    raise ConfigurationError(f"Airflow was not ready after {_READY_SECONDS} s.", "Is the machine very busy? Try again.")


def _show(screen: Screen, url: str, passwords: Mapping[str, str], home: AirflowHome) -> None:
    users = "\n".join(
        f"  {user:8} {passwords[user]}   [dim]{'may do everything' if role == 'admin' else 'may only look'}[/]"
        for user, role in USERS.items()
    )
    screen.panel(
        "Ready",
        f"[bold]{url}[/]\n\n{users}\n\n"
        "Try: open [cyan]firestore_v001_add_user_stats[/], press [bold]Trigger[/], leave the form as it is.\n"
        "When it is green, the XCom of its task [cyan]review[/] names the report, and v002 may follow.\n"
        "Then the same for the target [cyan]recoup_production[/]: it asks for a rehearsal first\n"
        "([cyan]firestore_rehearsal[/]), and for your approval.\n\n"
        "From another terminal, on the same data:\n\n"
        f"  export AIRFLOW_HOME={home.folder}\n"
        "  .venv/bin/firestore-migrations status\n\n"
        "[bold]Ctrl-C[/] ends everything.",
    )


def _free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1, or the next one that nobody listens on."""
    for port in range(wanted, min(wanted + 100, 65536)):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ConfigurationError(f"No port from {wanted} on is free.", "Name another with --port.")


if __name__ == "__main__":
    sys.exit(main())

"""Three migrations of Recoup's data, run by Airflow in this terminal, and the last one taken back.

    python -m demo.run

Needs no network, no account and no free port of a certain number; leaves its files in `.airflow/demo` and no process.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from demo.airflow_home import HOMES, PROJECT, AirflowHome
from demo.outcome import outcome, trails
from demo.recoup import fingerprint, is_empty, seed, this_day
from demo.show import Screen
from firestore_migrations import emulator
from firestore_migrations.authoring.discovery import discover
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import FirestoreMigrationsError, VerifyFailed
from firestore_migrations.firestore.connection import Address
from firestore_migrations.runs.run import Target

_SAMPLES = 5
_NEXT = """\
[bold]See it in Airflow's own page[/], with the same data on an emulator:

    make up

[bold]Run it on your own project[/]: put your migrations into [cyan]migrations/[/] and name your database.

    source .venv/bin/activate
    export AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags && airflow db migrate
    airflow connections add firestore_default --conn-type firestore \\
        --conn-extra '{"project": "my-project", "environment": "staging"}'
    firestore-migrations status
    firestore-migrations dry-run v001     [dim]# the plan and its price; writes no data[/]
    firestore-migrations run v001
    firestore-migrations rollback v001"""


class Demo:
    """The demo on one emulator.

    Args:
        screen: where it is shown.
        home: the Airflow that runs it.
        host: the emulator.
    """

    def __init__(self, screen: Screen, home: AirflowHome, host: str) -> None:
        self._screen = screen
        self._home = home
        self._project = "demo-recoup"
        if not is_empty(host, self._project):  # somebody else's emulator, with data of an earlier demo
            self._project += f"-{secrets.token_hex(3)}"
        self._host = host
        self._target = Target("firestore_default", Address(self._project, emulator_host=host), home.storage)
        self._migrations = discover(PROJECT / "migrations").migrations

    def seed(self, scale: float) -> None:
        """Write Recoup's data, and tell Airflow where they are."""
        with self._screen.step("Recoup's data") as result:
            counts = seed(self._host, self._project, scale=scale, today=this_day())
            result.append(", ".join(f"{count:,} {collection}" for collection, count in counts.items()))
        place = {"project": self._project, "emulator_host": self._host}
        os.environ["AIRFLOW_CONN_FIRESTORE_DEFAULT"] = json.dumps({"conn_type": "firestore", "extra": place})

    def run_all(self) -> bool:
        """Run every version, show the audit, take the last one back; whether the data then is what it was."""
        *earlier, last = self._migrations
        for migration in earlier:
            self._run(migration, "up")
        before = self._fingerprint(f"Fingerprint of all data before {last.version}")
        self._run(last, "up")
        self._show_audit()
        self._run(last, "down")
        after = self._fingerprint(f"Fingerprint of all data after the rollback of {last.version}")
        return self._screen.compare(before, after)

    def _run(self, migration: Migration, direction: str) -> None:
        from firestore_migrations.dag_run import run_in_process

        verb = "Roll back" if direction == "down" else "Apply"
        self._screen.title(f"{verb} {migration.version} {migration.name}")
        if direction == "up":
            self._screen.paragraphs(migration.description)
        with self._screen.step(f"DAG {migration.dag_id}, direction {direction}") as result:
            run_id = run_in_process(migration, {"direction": direction}, verbose=True)
            found = outcome(self._target, migration, run_id, _SAMPLES)
            result.append(found.audit["state"])
        self._screen.outcome(found)
        if found.audit["error"]:
            raise VerifyFailed(f"{migration.version} ended as {found.audit['state']}: {found.audit['error']}")

    def _fingerprint(self, what: str) -> dict[str, str]:
        with self._screen.step(what):
            return fingerprint(self._host, self._project)

    def _show_audit(self) -> None:
        self._screen.title("The audit trail, in the database itself: _migrations")
        found = trails(self._target)
        self._screen.trail(self._migrations, found)
        version = self._migrations[-1].version
        *_, last = found[version].events.values()
        self._screen.events(version, last)


def main() -> int:
    """Run the demo.

    Returns:
        0 if everything worked and the rollback was exact, else 1; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the data set (default: 1.0)")
    parser.add_argument("--home", type=Path, default=HOMES / "demo", help="AIRFLOW_HOME (default: %(default)s)")
    options = parser.parse_args()
    home = AirflowHome(options.home)
    with os.fdopen(os.dup(1), "w") as stream:
        screen = Screen(stream)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with home.hold(), _output_to(home.log):
                return _demonstrate(screen, home, options.scale)
        except FirestoreMigrationsError as error:
            screen.error(f"{error}\nAirflow's log: {home.log}")
            return 1
        except KeyboardInterrupt:
            screen.error("Stopped. Nothing was left running.")
            return 130
        except Exception as error:  # noqa: BLE001 - the last stop; all of it is in the log
            with home.log.open("a") as log:
                traceback.print_exc(file=log)
            screen.error(f"{type(error).__name__}: {error}\nThe traceback is at the end of Airflow's log: {home.log}")
            return 1


def _demonstrate(screen: Screen, home: AirflowHome, scale: float) -> int:
    started = time.monotonic()
    home.enter()
    home.configure()
    screen.title("Three migrations of a live Firestore database, run by Airflow, and one taken back")
    screen.text(f"[dim]Airflow's log: {home.log}[/]\n")
    with ThreadPoolExecutor(1) as aside:
        database = aside.submit(home.create_database)
        with screen.step("Firestore emulator") as result:
            running = emulator.start(log=home.emulator_log)
            result.append(running.host)
        with running:
            demo = Demo(screen, home, running.host)
            demo.seed(scale)
            with screen.step("Airflow, with a SQLite database of its own"):
                database.result()
            is_same = demo.run_all()
    screen.title("The end")
    seconds = f"The whole demo took {time.monotonic() - started:.0f} s."
    if not is_same:
        screen.error(f"The data is not what it was before v003. {seconds}")
        return 1
    screen.text(f"[green]✓[/] Byte for byte, the data is what it was before v003. {seconds}")
    screen.panel("What now?", _NEXT)
    return 0


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send everything that is printed to a file: by file descriptor, for Airflow keeps the streams that it found."""
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())

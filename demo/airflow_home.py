"""A private AIRFLOW_HOME in the project's ignored folder: settings, SQLite database, logs, storage, passwords.

Whoever sets AIRFLOW_HOME to it talks to the same Airflow, without any other setting. The person's own is never used.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from firestore_migrations.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
HOMES = PROJECT / ".airflow"
USERS = {"admin": "admin", "viewer": "viewer"}
"""The users of the page, and their roles in Airflow's simple auth manager."""

_OF_ONE_LIFE = ("airflow.db", "airflow.db-shm", "airflow.db-wal", "logs", "storage", "emulator.log", "airflow.log")


class AirflowHome:
    """One folder that serves as AIRFLOW_HOME. Nothing is touched before `hold`.

    Args:
        folder: where.
        settings: Airflow's, by section, besides those that it has by itself and instead of them.

    Attributes:
        folder: the folder; made where it is missing, private to its owner.
        storage: where snapshots and plans are kept.
        log: what Airflow says.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, object]] | None = None) -> None:
        self.folder = folder.resolve()
        self._settings = settings or {}
        self.storage = self.folder / "storage"
        self.log = self.folder / "airflow.log"
        self.emulator_log = self.folder / "emulator.log"
        self._passwords = self.folder / "passwords.json"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the home to this process, and begin it anew: what an earlier life left goes, but for the passwords.

        Raises:
            ConfigurationError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"{self.folder} is in use by another run of this command.",
                    "End that one first, or give this one another folder with --home.",
                ) from None
            for name in _OF_ONE_LIFE:
                path = self.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            yield

    def configure(self, port: int = 8080) -> None:
        """Write Airflow's settings: our DAGs and migrations alone, few processes, nothing that other machines reach.

        Args:
            port: of the page and the API, on 127.0.0.1.
        """
        plugins = self.folder / "no-plugins"  # the package is installed; the plugins folder would load it twice
        plugins.mkdir(exist_ok=True)
        settings: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": PROJECT / "dags",
                "plugins_folder": plugins,
                "load_examples": False,
                "executor": "LocalExecutor",
                "parallelism": 4,
                "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
                "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
                "simple_auth_manager_passwords_file": self._passwords,
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{self.folder}/airflow.db"},
            "logging": {"base_log_folder": self.folder / "logs"},
            "api": {
                "host": "127.0.0.1",
                "port": port,
                "base_url": f"http://127.0.0.1:{port}",
                "workers": 1,
                "secret_key": secrets.token_hex(16),
                "instance_name": "Recoup on an emulator",
            },
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            # An edited migration shows within seconds; there is little to parse.
            "dag_processor": {"refresh_interval": 10, "min_file_process_interval": 10},
            "firestore_migrations": {
                "migrations_folder": PROJECT / "migrations",
                "storage": f"file://{self.storage}",
            },
        }
        for section, options in self._settings.items():
            settings[section] = {**settings.get(section, {}), **options}
        file = ConfigParser(interpolation=None)
        file.read_dict(
            {
                name: {key: str(value).replace("%", "%%") for key, value in section.items()}
                for name, section in settings.items()
            }
        )
        with _private(self.folder / "airflow.cfg") as config:
            file.write(config)

    def environment(self) -> dict[str, str]:
        """The environment of a process of this Airflow: the present one, without other settings of Airflow."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
            # Every process would compile Airflow's 3,000 modules anew, in 10 s; the result goes where nobody minds it.
            environment["PYTHONPYCACHEPREFIX"] = str(HOMES / "bytecode")
        return {**environment, "AIRFLOW_HOME": str(self.folder), "PYTHONWARNINGS": "ignore"}

    def enter(self) -> None:
        """Make this process one of this Airflow. Comes before the first import of it."""
        environment = self.environment()
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        if "PYTHONPYCACHEPREFIX" in environment:
            sys.dont_write_bytecode, sys.pycache_prefix = False, environment["PYTHONPYCACHEPREFIX"]

    def create_database(self) -> None:
        """Put an empty database of this version of Airflow into the home.

        Making one takes Airflow ten seconds and more; the first is kept beside the homes and copied from then on.

        Raises:
            ConfigurationError: Airflow could not make it.
        """
        empty = HOMES / f"empty-{version('apache-airflow')}.db"
        if not empty.exists():
            new = self.folder / "new.db"
            new.unlink(missing_ok=True)
            environment = {**self.environment(), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"}
            self._run(["db", "migrate"], environment)
            HOMES.mkdir(exist_ok=True)
            new.replace(empty)
        shutil.copyfile(empty, self.folder / "airflow.db")

    def passwords(self) -> Mapping[str, str]:
        """The password of each user: made once, kept in the home where only its owner can read it."""
        if self._passwords.exists():
            known: dict[str, str] = json.loads(self._passwords.read_text())
            if set(known) == set(USERS):
                return known
        made = {user: secrets.token_urlsafe(9) for user in USERS}
        with _private(self._passwords) as file:
            json.dump(made, file)
        return made

    def _run(self, command: list[str], environment: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", *command], env=environment, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise ConfigurationError(f"`airflow {' '.join(command)}` failed.", f"See why in {self.log}.")


def _private(path: Path) -> TextIO:
    """Open a file anew for writing that only its owner can read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")

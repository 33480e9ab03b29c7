"""Which folder of migrations, which version and which target a command means."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from configparser import RawConfigParser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firestore_migrations.authoring.discovery import Discovered, discover
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.dag_run import FOLDER
from firestore_migrations.errors import UnknownVersion

if TYPE_CHECKING:
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.run import Target

_HERE = Path("migrations")
_VERSION = re.compile(r"v?([0-9]+)(?:_(\w+))?(?:\.py)?", re.IGNORECASE)


def settings() -> dict[str, str]:
    """What a command adds to the environment of its process.

    The folder ./migrations, where no option names another; and that connections may come from Airflow's database.
    """
    found = {"_AIRFLOW_PROCESS_CONTEXT": "server"}
    if not _configured() and _HERE.is_dir():
        found[FOLDER] = str(_HERE.absolute())
    return found


def folder() -> Path:
    """The folder of the migrations; Airflow is asked only where its answer is not plain to see."""
    configured = _configured()
    if configured and not set(configured) & set("{$"):
        return Path(configured).expanduser()
    from firestore_migrations import configuration

    return configuration.migrations_folder()


def folder_to_begin() -> Path:
    """The folder for a new migration: ./migrations where there is none yet."""
    if _configured():
        return folder()
    configured = folder() if _airflow_config().exists() else _HERE
    return configured if configured.is_dir() else _HERE.absolute()


def version_of(text: str, known: tuple[str, ...]) -> str:
    """The version that is meant by `v001`, `1`, or a file's name.

    Raises:
        UnknownVersion: none of the known ones.
    """
    match = _VERSION.fullmatch(Path(text).name)
    for version in known:
        if match and int(version[1:]) == int(match[1]):
            return version
    raise UnknownVersion(
        f"There is no version {text!r} in {folder()}.",
        f"There are: {', '.join(known)}." if known else 'Begin with `firestore-migrations new "add user stats"`.',
        version=text,
    )


def known_versions(audit: Audit, discovered: Discovered | None = None) -> tuple[str, ...]:
    """Every version that has a file or stands in the audit, in order."""
    files = (discover(folder()) if discovered is None else discovered).versions
    return tuple(sorted({*files, *audit.versions()}, key=lambda version: int(version[1:])))


def migration_of(text: str) -> tuple[Migration, Discovered]:
    """The migration that is meant, and everything in its folder.

    Raises:
        UnknownVersion: there is none, or its file has another name.
        AuthoringError: its file cannot be used.
    """
    discovered = discover(folder())
    version = version_of(text, discovered.versions)
    for error in discovered.errors:
        if error.facts.get("version") == version:
            raise error
    migration = next(found for found in discovered.migrations if found.version == version)
    match = _VERSION.fullmatch(Path(text).name)
    if match and match[2] and match[2].lower() != migration.name:
        raise UnknownVersion(
            f"{version} is {migration.path.name}, not {text}.", f"Say {version} if you mean it.", version=text
        )
    migration.refuse_bad_filters()
    return migration, discovered


def target_name(arguments: Namespace) -> str:
    """The connection id that is meant."""
    from firestore_migrations import configuration

    if arguments.target is not None:  # also an empty one, as an unset variable of a shell gives: never the default
        return str(arguments.target)
    return next(iter(configuration.targets()), configuration.DEFAULT_TARGET)


def target_of(name: str) -> Target:
    """The target that a connection describes, and that answers.

    Raises:
        ConfigurationError: there is no such connection, or its description is wrong.
        Unavailable: it does not answer.
    """
    from firestore_migrations.firestore.reach import refuse_unreachable
    from firestore_migrations.hooks.firestore import FirestoreHook

    target = FirestoreHook(name).target()
    refuse_unreachable(target.address)
    return target


def _configured() -> str:
    """The option as it is written, read without Airflow, which takes seconds to import."""
    if os.environ.get(FOLDER):
        return os.environ[FOLDER]
    parser = RawConfigParser(strict=False)
    with suppress(OSError, UnicodeDecodeError):
        parser.read(_airflow_config(), encoding="utf-8")
    return parser.get("firestore_migrations", "migrations_folder", fallback="").strip()


def _airflow_config() -> Path:
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
    named = os.environ.get("AIRFLOW_CONFIG") or f"{home}/airflow.cfg"
    return Path(os.path.expandvars(named)).expanduser()

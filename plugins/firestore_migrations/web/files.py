"""The migrations of the folder, read again only when a file has changed."""

from __future__ import annotations

import threading
from pathlib import Path

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import Discovered, discover, find
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import ConfigurationError

_State = tuple[tuple[str, int, int], ...]
_lock = threading.Lock()
_kept: dict[Path, tuple[_State, Discovered]] = {}


def discovered() -> Discovered:
    """What the folder holds.

    Raises:
        ConfigurationError: there is no folder on this server, so nothing can be said of what is pending or missing.
    """
    folder = configuration.migrations_folder()
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder of migrations on this API server: {folder}.",
            "Mount it there, or name it by [firestore_migrations] migrations_folder; runs are shown without it.",
        )
    with _lock:
        state = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in find(folder))
        if folder not in _kept or _kept[folder][0] != state:
            _kept[folder] = (state, discover(folder))
        return _kept[folder][1]


def migration_of(version: str) -> Migration | None:
    """The migration of a version; None where its file is gone, cannot be used, or is not on this server."""
    return next((found for found in _known() if found.version == version), None)


def dag_id_of(version: str, name: str = "") -> str:
    """The id of the DAG of a version: that of its file, else by the name that the audit has."""
    migration = migration_of(version)
    return f"firestore_{version}_{name}" if migration is None else migration.dag_id


def migration_of_dag(dag_id: str) -> Migration | None:
    """The migration that a DAG runs; None of any other DAG."""
    return next((found for found in _known() if found.dag_id == dag_id), None)


def _known() -> tuple[Migration, ...]:
    try:
        return discovered().migrations
    except ConfigurationError:
        return ()

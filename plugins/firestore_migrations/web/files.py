"""The migrations of the folder, read again only when a file has changed."""

from __future__ import annotations

import threading
from pathlib import Path

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import Discovered, discover, find
from firestore_migrations.authoring.migration import Migration

_State = tuple[tuple[str, int, int], ...]
_lock = threading.Lock()
_kept: dict[Path, tuple[_State, Discovered]] = {}


def discovered() -> Discovered:
    """What the folder holds; nothing where there is no folder on this server."""
    folder = configuration.migrations_folder()
    if not folder.is_dir():
        return Discovered((), ())
    with _lock:
        state = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in find(folder))
        if folder not in _kept or _kept[folder][0] != state:
            _kept[folder] = (state, discover(folder))
        return _kept[folder][1]


def migration_of(version: str) -> Migration | None:
    """The migration of a version; None where its file is gone or cannot be used."""
    return next((found for found in discovered().migrations if found.version == version), None)


def dag_id_of(version: str, name: str = "") -> str:
    """The id of the DAG of a version: that of its file, else by the name that the audit has."""
    migration = migration_of(version)
    return f"firestore_{version}_{name}" if migration is None else migration.dag_id


def migration_of_dag(dag_id: str) -> Migration | None:
    """The migration that a DAG runs; None of any other DAG."""
    return next((found for found in discovered().migrations if found.dag_id == dag_id), None)

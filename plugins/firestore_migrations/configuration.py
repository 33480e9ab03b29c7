"""The section `[firestore_migrations]` of Airflow's configuration.

Each option can be set by environment too: `AIRFLOW__FIRESTORE_MIGRATIONS__MIGRATIONS_FOLDER`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.discovery import Discovered, discover
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import ConfigurationError, UnknownVersion
from firestore_migrations.runs.price import Prices

SECTION = "firestore_migrations"
DEFAULT_TARGET = "firestore_default"

OPTIONS: dict[str, tuple[str, str]] = {
    "migrations_folder": ("", "Folder of the migrations. Empty: the folder `migrations` beside the DAGs folder."),
    "storage": (
        "",
        (
            "Root of snapshots and plans: any URL of an ObjectStoragePath, like `gs://google_cloud_default@bucket/x`. "
            "It holds production data. A connection's own `storage` wins. Empty: a private folder in AIRFLOW_HOME."
        ),
    ),
    "targets": (
        "",
        (
            "Connection ids that the trigger form offers, separated by commas; the first is the default. "
            "Empty: `firestore_default`, and any other may be typed."
        ),
    ),
    "price_per_100k_reads": ("0.06", "US dollars; the default is the list price of nam5 and eur3 in 2025."),
    "price_per_100k_writes": ("0.18", "US dollars; the default is the list price of nam5 and eur3 in 2025."),
    "price_per_100k_deletes": ("0.02", "US dollars; the default is the list price of nam5 and eur3 in 2025."),
}
"""Every option: its default and its description."""


def migrations_folder() -> Path:
    """The folder of the migrations."""
    from airflow.sdk.configuration import conf

    folder = _get("migrations_folder")
    if folder:
        return Path(folder).expanduser()
    return Path(conf.get("core", "dags_folder")).parent / "migrations"


def migration(version: str) -> tuple[Migration, Discovered]:
    """A migration of the folder, ready to run, and everything in the folder.

    Raises:
        AuthoringError: its file cannot be used.
        UnknownVersion: there is none.
    """
    discovered = discover(migrations_folder())
    for error in discovered.errors:
        if error.facts.get("version") == version:
            raise error
    for found in discovered.migrations:
        if found.version == version:
            found.refuse_bad_filters()
            return found, discovered
    raise UnknownVersion(
        f"There is no {version} in {migrations_folder()}.", "List what there is with `firestore-migrations status`."
    )


def storage_url() -> str:
    """The root of snapshots and plans."""
    return _get("storage") or f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/firestore-migrations"


def targets() -> list[str]:
    """The connection ids that the trigger form offers; empty when any may be typed."""
    return [name.strip() for name in _get("targets").split(",") if name.strip()]


def prices() -> Prices:
    """What operations cost."""
    return Prices(
        reads=_number("price_per_100k_reads"),
        writes=_number("price_per_100k_writes"),
        deletes=_number("price_per_100k_deletes"),
    )


def provider_section() -> dict[str, Any]:
    """The section as a provider declares it."""
    return {
        "description": "Versioned migrations of Firestore data.",
        "options": {
            name: {
                "description": description,
                "version_added": "0.1.0",
                "type": "string",
                "example": None,
                "default": default,
            }
            for name, (default, description) in OPTIONS.items()
        },
    }


def _get(name: str) -> str:
    # Imported late: Airflow asks for provider_section() while it is still reading its configuration.
    from airflow.sdk.configuration import conf

    # The fallback serves a plugins folder without the installed provider, which declares the section.
    return str(conf.get(SECTION, name, fallback=OPTIONS[name][0]) or "")


def _number(name: str) -> float:
    text = _get(name)
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < math.inf:
        raise ConfigurationError(
            f"[{SECTION}] {name} is not a number of dollars: {text!r}.",
            f"Set AIRFLOW__{SECTION}__{name}".upper() + " to one.",
        )
    return number

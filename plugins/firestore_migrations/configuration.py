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
from firestore_migrations.runs.storage import Folder

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
    "window_interval": (
        "0 0 * * *",
        (
            "Cron expression, in UTC, at whose times a backfill cuts the time of a version whose steps have a window. "
            "Nothing ever runs by it."
        ),
    ),
    "notifications": (
        "",
        (
            "JSON list of whom to tell of what: objects with `on` (awaiting_approval, rejected, failed, verified, "
            "rolled_back), `notifier` (a class of Airflow's notifiers) and its `kwargs`. Empty: nobody."
        ),
    ),
    "rehearsal_target": (
        "",
        (
            "Connection id of the rehearsal database: one whose extra has `rehearsal_of`. Rehearsals overwrite it. "
            "Empty: none runs by the clock, and the form asks for one."
        ),
    ),
    "rehearsal_schedule": (
        "0 2 * * *",
        "When the DAG firestore_rehearsal runs, if `rehearsal_target` is set: cron, in UTC. `never`: by hand only.",
    ),
    "rehearsals": (
        "",
        (
            "Folder of the results of rehearsals, as a URL like `gs://google_cloud_default@bucket/rehearsals`. "
            "Empty: the folder `rehearsals` of `storage`."
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


def migrations() -> tuple[Migration, ...]:
    """The migrations of the folder that can be used, in order; where there is no folder, none: `make_dags` says so."""
    folder = migrations_folder()
    return discover(folder).migrations if folder.is_dir() else ()


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


def window_interval() -> str:
    """The cron expression that cuts time into the windows of a backfill."""
    return _get("window_interval") or OPTIONS["window_interval"][0]


def notifications() -> str:
    """Whom to tell of what, as JSON; empty for nobody."""
    return _get("notifications").strip()


def rehearsal_target() -> str:
    """The connection id of the rehearsal database; empty where there is none."""
    return _get("rehearsal_target").strip()


def rehearsal_schedule() -> str | None:
    """When rehearsals run by the clock; None for never."""
    schedule = (_get("rehearsal_schedule") or OPTIONS["rehearsal_schedule"][0]).strip()
    return schedule if rehearsal_target() and schedule.lower() != "never" else None


def rehearsals() -> Folder:
    """Where the results of rehearsals are kept, by checksum."""
    from airflow.sdk import ObjectStoragePath

    url = _get("rehearsals").strip()
    return Folder(ObjectStoragePath(url)) if url else Folder(ObjectStoragePath(storage_url())) / "rehearsals"


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

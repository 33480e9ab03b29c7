"""Versioned migrations of live Firestore data, run by Airflow.

An author needs the names below and nothing else:

    each_document, script       what a step is
    Document, Database          what a step gets
    SERVER_TIMESTAMP, DELETE_FIELD, ArrayUnion, ArrayRemove, Increment

Inside, imports go down:

    cli, provider_info, plugin  the edges
    dag_factory, operators, hooks
    runs                        the life of a run: snapshot, plan, apply, verify, rollback, audit, lease
    authoring                   migration files: steps, discovery, the database that records
    firestore                   the wire: connection, scan, commit, values, document
    errors

Names load when they are first used, so that parsing a DAG loads neither google nor pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firestore_migrations.authoring.database import Database
    from firestore_migrations.authoring.migration import each_document, script
    from firestore_migrations.firestore.document import Document
    from firestore_migrations.firestore.sentinels import (
        DELETE_FIELD,
        SERVER_TIMESTAMP,
        ArrayRemove,
        ArrayUnion,
        Increment,
    )

__version__ = "0.1.0"

__all__ = [
    "DELETE_FIELD",
    "SERVER_TIMESTAMP",
    "ArrayRemove",
    "ArrayUnion",
    "Database",
    "Document",
    "Increment",
    "each_document",
    "script",
]

_HOME = {
    "Database": "authoring.database",
    "Document": "firestore.document",
    "each_document": "authoring.migration",
    "script": "authoring.migration",
    "DELETE_FIELD": "firestore.sentinels",
    "SERVER_TIMESTAMP": "firestore.sentinels",
    "ArrayRemove": "firestore.sentinels",
    "ArrayUnion": "firestore.sentinels",
    "Increment": "firestore.sentinels",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

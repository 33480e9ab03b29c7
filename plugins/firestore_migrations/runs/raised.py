"""What an author's code raises: which of it is a document's failure, and how that is told without a value."""

from __future__ import annotations

import traceback
from typing import Any

from firestore_migrations.authoring.database import Failed
from firestore_migrations.errors import FirestoreMigrationsError

RAISED = (Exception, Failed, SystemExit, GeneratorExit)
"""What an author's code may raise; its message may quote a value. Ctrl-C and Airflow's time-out are not among them."""


def hold(result: Any) -> None:
    """A check fails by raising, and also by returning False."""
    if result is False:
        raise Failed("it returned False")


def described(error: BaseException) -> str:
    """What an author's code raised, and where: never the message of a foreign error, which may quote a value."""
    if isinstance(error, FirestoreMigrationsError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, Failed):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if "firestore_migrations/" not in frame.filename.replace("\\", "/")]
    where = f" at {mine[-1].filename.rsplit('/', 1)[-1]}:{mine[-1].lineno}" if mine else ""
    return f"{type(error).__name__}{where}"

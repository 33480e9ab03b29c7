"""Failing: what an error of this package means for a task of Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from firestore_migrations.errors import FirestoreMigrationsError
from firestore_migrations.operators.migration import WORTH_A_RETRY

_LEAST_SECONDS = 10  # Airflow takes a task for killed that it queues before the end of its last process is known


@contextmanager
def failing(log: Any) -> Iterator[None]:
    """Let a task fail at once where trying again cannot help, and wait where the target is held.

    Raises:
        AirflowRescheduleException: the target is free in a while.
        AirflowFailException: trying again cannot help; the message says what to do.
        FirestoreMigrationsError: trying again may help.
    """
    try:
        yield
    except WORTH_A_RETRY as error:
        raise error from None
    except FirestoreMigrationsError as error:
        seconds = error.facts.get("free_in")
        if seconds is not None:
            log.info("%s Looking again in %d s.", error, seconds)
            raise come_back(seconds) from None
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None


def come_back(seconds: float) -> AirflowRescheduleException:
    """What a task raises to leave its worker and come back in a while; that is no try of the task."""
    return AirflowRescheduleException(datetime.now(timezone.utc) + timedelta(seconds=max(_LEAST_SECONDS, seconds)))

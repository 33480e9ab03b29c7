"""Failing: what an error of a phase means for the task of Airflow's that performs it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from firestore_migrations.errors import FirestoreMigrationsError, RunPaused, StorageError, Unavailable

RETRYING: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=5)}
"""The default arguments of every DAG: how often a task begins again where that may help."""
INTERRUPTED = "Interrupted with Ctrl-C."
_WORTH_A_RETRY = (Unavailable, StorageError)
_PAUSED_SECONDS = 30
_LEAST_SECONDS = 10  # Airflow takes a task for killed that it queues before the end of its last process is known


@contextmanager
def failing(
    log: Any, phase: str, version: str = "", waiting: Callable[[], None] | None = lambda: None
) -> Iterator[None]:
    """Let a task fail for good where trying again cannot help, and wait where a run is paused or the target is held.

    Args:
        log: of the task.
        phase: what is performed, for the message of a defect.
        version: of the migration, for the same.
        waiting: called before the task leaves its worker to come back; None for a task that does not wait.

    Raises:
        AirflowRescheduleException: the task comes back in a while; that is no try of it.
        AirflowFailException: trying again cannot help; the message says what to do.
        FirestoreMigrationsError: trying again may help. No error says what is in a document.
    """
    try:
        yield
    except _WORTH_A_RETRY as error:
        raise error from None
    except FirestoreMigrationsError as error:
        seconds = _PAUSED_SECONDS if isinstance(error, RunPaused) else error.facts.get("free_in")
        if seconds is not None and waiting is not None:
            log.info("%s Looking again in %d s.", error, seconds)
            waiting()
            raise come_back(seconds) from None
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    except (AirflowFailException, AirflowRescheduleException, AirflowSkipException):
        raise
    except KeyboardInterrupt:
        raise AirflowFailException(INTERRUPTED) from None  # Airflow would try again
    except Exception as error:  # noqa: BLE001 -- whatever it is, it may quote a document
        raise _without_values(error, log, phase, version) from None


def come_back(seconds: float) -> AirflowRescheduleException:
    """What a task raises to leave its worker and come back in a while; that is no try of the task."""
    return AirflowRescheduleException(datetime.now(timezone.utc) + timedelta(seconds=max(_LEAST_SECONDS, seconds)))


def _without_values(error: Exception, log: Any, phase: str, version: str) -> FirestoreMigrationsError:
    """A foreign error as one of ours: where it was raised, and not what it says, which may quote a document."""
    frames = traceback.extract_tb(error.__traceback__)
    log.error("%s came up here:\n%s", type(error).__name__, "".join(traceback.format_list(frames)))
    return FirestoreMigrationsError(
        f"{type(error).__name__} in {' of '.join(filter(None, (phase, version)))}, "
        f"at {frames[-1].filename}:{frames[-1].lineno}.",
        "It is tried again. If it stays, it is a defect; please report it with the lines above.",
        version=version,
        phase=phase,
    )

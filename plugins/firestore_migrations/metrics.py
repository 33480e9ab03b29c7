"""Metrics: what the phases of a run came to, through Airflow's own stats, and so StatsD or OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

_COUNTED = ("documents", "scanned", "writes", "drifted", "conflicts", "failed", "residue")
_NAMES = {"scanned": "documents", "failed": "failures"}
PREFIX = "firestore_migrations"


@contextmanager
def timed(version: str, target: str, phase: str) -> Iterator[None]:
    """Send how long a phase took, however it ended, as `firestore_migrations.seconds` in seconds."""
    from airflow.sdk.observability import stats

    began = monotonic()
    try:
        yield
    finally:
        stats.gauge(f"{PREFIX}.seconds", monotonic() - began, tags=_tags(version, target, phase))


def count(version: str, target: str, phase: str, result: Any) -> None:
    """Count what a phase came to: `firestore_migrations.documents`, `.writes`, `.drifted` and so on."""
    from airflow.sdk.observability import stats

    if phase == "finish" or not isinstance(result, Mapping):
        return  # what it tells are the sums of the others
    for name in _COUNTED:
        if number := result.get(name):
            stats.incr(f"{PREFIX}.{_NAMES.get(name, name)}", int(number), tags=_tags(version, target, phase))


def waiting(version: str, target: str, phase: str) -> None:
    """Count that a task gave its worker back to wait, as `firestore_migrations.waiting`."""
    from airflow.sdk.observability import stats

    stats.incr(f"{PREFIX}.waiting", tags=_tags(version, target, phase))


def _tags(version: str, target: str, phase: str) -> dict[str, str]:
    return {"version": version, "target": target, "phase": phase}

"""Words: how counts, times and lengths of time are written, the same on the page, in the terminal and in messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.price import in_dollars

_COUNTS = ("scanned", "created", "updated", "deleted", "unchanged", "drifted", "conflicts", "failed")
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def when(time: datetime | None) -> str:
    """A time, in UTC, to the second; empty where there is none."""
    return "" if time is None else f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """A length of time in the two largest units that it fills; empty where nobody knows it."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // _DAY, whole % _DAY // _HOUR, whole % _HOUR // _MINUTE
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % _MINUTE} s" if minutes else f"{whole} s"


def age(time: timedelta) -> str:
    """A length of time, coarsely, in the largest unit that it fills twice."""
    seconds = max(0, int(time.total_seconds()))
    for name, size in (("days", _DAY), ("hours", _HOUR), ("minutes", _MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"


def counts_in_words(counts: Mapping[str, int]) -> str:
    """The counts of a run, without those that are zero."""
    return ", ".join(f"{counts[name]:,} {name}" for name in _COUNTS if counts.get(name)) or "nothing"


def took(run: Mapping[str, Any]) -> timedelta | None:
    """How long a run took, by its audit document; None while it goes on."""
    if run.get("finished_at") is None:
        return None
    length: timedelta = run["finished_at"] - run["started_at"]
    return length


def price_of(run: Mapping[str, Any]) -> str:
    """What a run cost, by its audit document, and how far its plan was off."""
    foreseen = (run.get("estimate") or {}).get("price")
    is_final = run["finished_at"] is not None and run["mode"] == APPLY
    off = f" ({run['price'] / foreseen - 1:+.0%})" if foreseen and is_final else ""
    return f"{in_dollars(run['price'])}{off}"

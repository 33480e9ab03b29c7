"""Windows: the intervals of time by which a version is backfilled, and which of them are done.

An interval takes its first instant and leaves its second to the interval behind it, so that intervals which meet take
every document once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.runs import status

MOST = 4000
"""The most windows that one version keeps: its document of the audit, which lists them, stays far below 1 MiB."""

INSTANT = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?"
_LISTED = status.WRITING | {status.APPLIED, status.VERIFIED, status.FAILED, status.REJECTED}
_INSTANT = re.compile(INSTANT)
_LIKE = "Write it like 2026-01-01/2026-02-01 or 2026-01-01T06:30:00+02:00/2026-01-01T07:00:00.250+02:00."


@dataclass(frozen=True, order=True)
class Window:
    """An interval of time, from `start` on, up to but without `end`.

    Attributes:
        start: its first instant, in UTC.
        end: the first instant behind it, in UTC.
    """

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"

    @classmethod
    def of(cls, text: str) -> Window:
        """The window of an ISO interval; a time without a zone is UTC's.

        Raises:
            ConfigurationError: it is none, or it does not end after it begins.
        """
        ends = text.split("/")
        if len(ends) != 2 or not all(_INSTANT.fullmatch(end) for end in ends):
            raise _refusal(text, "is an interval of two times, START/END")
        try:
            start, end = map(_instant, ends)
        except (ValueError, OverflowError):
            raise _refusal(text, "names two times that exist") from None
        if end <= start:
            raise _refusal(text, "ends after it begins")
        return cls(start, end)

    @classmethod
    def recorded(cls, fields: Mapping[str, Any]) -> Window:
        """The window that a document of the audit has."""
        return cls(fields["from"], fields["to"])

    @property
    def text(self) -> str:
        """The window to read, in UTC; midnights without their time."""
        ends = [end.astimezone(timezone.utc).isoformat(" ") for end in (self.start, self.end)]
        return " to ".join(end.removesuffix("+00:00").removesuffix(" 00:00:00") for end in ends)

    @property
    def fields(self) -> dict[str, datetime]:
        """The window as the audit keeps it."""
        return {"from": self.start, "to": self.end}

    def meets(self, other: Window) -> bool:
        """Whether some instant lies in both."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Window) -> bool:
        """Whether every instant of the other lies in this one."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True)
class Coverage:
    """What the windows of a version come to.

    Attributes:
        done: the verified intervals, merged where they touch.
        missing: the gaps between the first and the last of them, and what failed or was begun and is not done since.
        overlapping: what several runs have done.
    """

    done: tuple[Window, ...]
    missing: tuple[Window, ...]
    overlapping: tuple[Window, ...]

    def as_dict(self) -> dict[str, list[dict[str, datetime]]]:
        """The same as plain data."""
        parts = {"done": self.done, "missing": self.missing, "overlapping": self.overlapping}
        return {name: [window.fields for window in windows] for name, windows in parts.items()}


def coverage(entries: Iterable[Mapping[str, Any]], *, is_swept: bool = False) -> Coverage:
    """What the windows that a version lists come to.

    Args:
        entries: `from`, `to` and `state` of each run.
        is_swept: whether a run without a window has taken the whole scope: then nothing is missing.
    """
    entries = list(entries)
    verified = sorted(Window.recorded(entry) for entry in entries if entry["state"] == status.VERIFIED)
    open_ones = [Window.recorded(entry) for entry in entries if entry["state"] != status.VERIFIED]
    done = _merged(verified)
    gaps = [Window(before.end, after.start) for before, after in pairwise(done)]
    left = [rest for window in open_ones for rest in _without(window, done)]
    missing = () if is_swept else _merged(sorted([*gaps, *left]))
    return Coverage(done, missing, _merged(sorted(_shared(verified))))


def marked(
    entries: Sequence[Mapping[str, Any]],
    run_id: str,
    window: Mapping[str, Any] | None,
    state: str,
    *,
    is_listed: bool = False,
) -> list[dict[str, Any]]:
    """The windows of a version after a run's new state; as they were where the run has no window.

    A run is listed from its first write on, or once it has failed; `is_listed` says that it was before.
    """
    kept = [dict(entry) for entry in entries if entry["run"] != run_id]
    is_listed = is_listed or len(kept) < len(entries) or state in _LISTED
    if window is None or not is_listed:
        return [dict(entry) for entry in entries]
    entry = {**Window.recorded(window).fields, "run": run_id, "state": state}
    return sorted([*kept, entry], key=lambda entry: (entry["from"], entry["to"], entry["run"]))


def _merged(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Windows in order, those that touch or overlap as one."""
    merged: list[Window] = []
    for window in windows:
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return tuple(merged)


def _without(window: Window, others: Iterable[Window]) -> list[Window]:
    """What of a window none of the others takes; they are in order and apart."""
    rest, start = [], window.start
    for other in others:
        if other.end <= start or other.start >= window.end:
            continue
        if other.start > start:
            rest.append(Window(start, other.start))
        start = max(start, other.end)
    return [*rest, Window(start, window.end)] if start < window.end else rest


def _shared(windows: Sequence[Window]) -> list[Window]:
    """Where windows in order overlap those before them."""
    shared: list[Window] = []
    reach: datetime | None = None
    for window in windows:
        if reach is not None and window.start < reach:
            shared.append(Window(window.start, min(reach, window.end)))
        reach = window.end if reach is None else max(reach, window.end)
    return shared


def _instant(text: str) -> datetime:
    """A time of at most microseconds, on every supported Python."""
    body, zone = (text[:-1], "+00:00") if text.endswith("Z") else (text, "")
    fraction = re.search(r"\.(\d+)", body)
    if fraction:
        body = body.replace(fraction[0], f".{fraction[1]:0<6}")
    time = datetime.fromisoformat(body + zone)
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)


def _refusal(text: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"Parameter window {wanted}, not {text!r}.", _LIKE, param="window")

"""The audit: who did what when, to read, to filter and to take away."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.holder import holder
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target
from firestore_migrations.web.access import Visitor
from firestore_migrations.web.places import PLACES

_COLUMNS = ("at", "target", "version", "run", "task", "state", "by", "message")
_BEGINS_A_FORMULA = frozenset("=+-@\t\r")
_MOST_RUNS = 200
_AT_ONCE = 8
_SECONDS = 15.0


@dataclass(frozen=True)
class Filter:
    """Which events are wanted; an empty field wants all.

    Attributes:
        version: exactly this one.
        run: exactly this one.
        task: exactly this one, or the verb that somebody told the run.
        by: whose; a part of the name.
        text: a part of the message.
    """

    version: str = ""
    run: str = ""
    task: str = ""
    by: str = ""
    text: str = ""

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is among those that are wanted."""
        return (
            self.task in ("", event["task"])
            and self.by.lower() in str(event["by"]).lower()
            and self.text.lower() in str(event["message"]).lower()
        )

    @property
    def query(self) -> dict[str, str]:
        """The fields that are filled, as an address has them."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}


def events(target_name: str, visitor: Visitor, wanted: Filter) -> list[dict[str, Any]]:
    """The events of a target that the visitor may see, the newest first. Of many runs, those of the newest."""

    def look(target: Target, reader: Reader) -> list[dict[str, Any]]:
        audit = Audit(Ledger(reader))
        versions = audit.versions()
        runs = [
            (run["started_at"], version, run_id)
            for version in versions
            if wanted.version in ("", version)
            for run_id, run in audit.runs(version).items()
            if wanted.run in ("", run_id) and visitor.may_read(run["dag_id"])
        ]
        newest = [(version, run_id) for _, version, run_id in sorted(runs, reverse=True)[:_MOST_RUNS]]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = threads.map(lambda name: audit.events(*name), newest)
            return [
                {**event, "target": target.name, "version": version, "run": run_id}
                for (version, run_id), of_run in zip(newest, found, strict=True)
                for event in of_run
                if wanted.wants(event)
            ]

    PLACES.ask(target_name, lambda _, reader: holder(Ledger(reader)))  # whether it answers at all is known soon
    return sorted(PLACES.ask(target_name, look, _SECONDS), key=lambda event: event["at"], reverse=True)


def as_csv(found: list[dict[str, Any]]) -> Iterator[str]:
    """The events as CSV, line by line, for a spreadsheet: no text is taken for a formula."""
    yield _line(_COLUMNS)
    for event in found:
        yield _line([_harmless(_text(event.get(name))) for name in _COLUMNS])


def as_json(found: list[dict[str, Any]]) -> str:
    """The events as a JSON array."""
    return json.dumps(found, indent=1, default=_text)


def _line(cells: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in _BEGINS_A_FORMULA else text

"""What the demo shows: steps with their times, and tables, as wide as a terminal of 100 columns."""
# ruff: noqa: TID253 - nothing that Airflow parses imports this module

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table

from demo.outcome import Outcome, Trail
from firestore_migrations.authoring.migration import Migration

_WIDTH = 100
_MOST_TEXT = 26
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.\d]*\+00:00")
_COUNTS = ("scanned", "created", "updated", "deleted", "unchanged", "drifted", "conflicts", "failed")


class Screen:
    """Shows everything on one stream: with colour in a terminal, as plain text in a log."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=False)
        self._console.width = min(self._console.width, _WIDTH) if self._console.is_terminal else _WIDTH

    def title(self, text: str) -> None:
        """The heading of a part."""
        self._console.print()
        self._console.print(Rule(f"[bold]{escape(text)}", align="left", style="cyan"))

    def text(self, text: str) -> None:
        """A paragraph; may hold rich's markup."""
        self._console.print(text)

    def paragraphs(self, text: str) -> None:
        """Plain paragraphs, each wrapped anew."""
        for paragraph in text.split("\n\n"):
            self._console.print(escape(" ".join(paragraph.split())))
            self._console.print()

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Show that work goes on, and when it is done, how long it took; the list takes what came out of it."""
        result: list[str] = []
        started = time.monotonic()
        with self._console.status(f"{escape(what)} …") if self._console.is_terminal else _nothing():
            yield result
        line = ": ".join([what, *result])
        seconds = f"{time.monotonic() - started:5.1f} s"
        self._console.print(f"[green]✓[/] {escape(line):<{self._console.width - 12}} [dim]{seconds:>9}[/]")

    def outcome(self, outcome: Outcome) -> None:
        """One run: what it counted, what it changed, its price and its time."""
        audit = outcome.audit
        self._numbers({name: f"{audit['counts'].get(name, 0):,}" for name in _COUNTS})
        table = _table("", "document", "field", "before", "after")
        for sample in outcome.samples:
            heads = chain([(sample.operation, f"[bold]{escape(sample.path)}[/]")], repeat(("", "")))
            for head, changed in zip(heads, sample.differences, strict=False):
                before, after = _value(changed.before, "red"), _value(changed.after, "green")
                table.add_row(*head, escape(changed.field), before, after)
        self._console.print(table)
        phases = {phase: f"{seconds:.1f} s" for phase, seconds in outcome.seconds.items()}
        self._numbers({**phases, "all tasks": f"[bold]{sum(outcome.seconds.values()):.1f} s[/]"})
        self._console.print(
            f"Price: [bold]{audit['price']:.4f} USD[/] at Google's list price, for {audit['reads']:,} reads, "
            f"{audit['writes']:,} writes and {audit['deletes']:,} deletes"
        )

    def _numbers(self, numbers: Mapping[str, str]) -> None:
        table = _table()
        for name in numbers:
            table.add_column(name, justify="right")
        table.add_row(*numbers.values())
        self._console.print(table)

    def trail(self, migrations: Sequence[Migration], trails: Mapping[str, Trail]) -> None:
        """Versions, runs and the events of the last run, as the audit in the database has them."""
        versions = _table("version", "name", "state", "checksum", "updated")
        runs = Table(
            "run of", "direction", "state", "batches", "by", "plan", "read time", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for migration in migrations:
            trail = trails[migration.version]
            version = trail.version
            versions.add_row(
                migration.version,
                version["name"],
                version["state"],
                version["checksum"][:12],
                _clock(version["updated_at"]),
            )
            for run_id, run in trail.runs.items():
                batches, digest = f"{trail.batches[run_id]}", (run["plan_digest"] or "")[:12]
                by, read = run["triggered_by"], _clock(run["read_time"])
                runs.add_row(migration.version, run["direction"], run["state"], batches, by, digest, read)
        self._console.print(versions, runs)

    def events(self, version: str, events: list[dict[str, Any]]) -> None:
        """What happened in one run."""
        table = _table("at", "task", "state", "message")
        for event in events:
            message = event["message"].split(";")[0]  # the rest is the report's place, longer than the line
            table.add_row(_clock(event["at"]), event["task"], event["state"], escape(message))
        self._console.print(f"Events of the last run of {version}:", table)

    def compare(self, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
        """Two fingerprints, collection by collection; whether they are equal."""
        table = _table("collection", "SHA-256 before", "SHA-256 after", "")
        for name in sorted({*before, *after}):
            one, other = before.get(name, "missing"), after.get(name, "missing")
            verdict = "[green]equal[/]" if one == other else "[bold red]DIFFERENT[/]"
            table.add_row(escape(name), one[:32], other[:32], verdict)
        self._console.print(table)
        return dict(before) == dict(after)

    def panel(self, title: str, text: str) -> None:
        """Something to keep; may hold rich's markup."""
        self._console.print()
        self._console.print(Panel(text, title=title, title_align="left", border_style="cyan", padding=(1, 2)))

    def error(self, text: str) -> None:
        """What went wrong."""
        self._console.print(f"\n[bold red]✗[/] {escape(text)}")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _value(text: str, style: str) -> str:
    if not text:
        return "[dim]-[/]"
    text = _INSTANT.sub(r"\1Z", text)
    short = text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
    return f"[{style}]{escape(short)}[/]"


def _clock(instant: Any) -> str:
    return f"{instant:%H:%M:%S}" if instant else ""

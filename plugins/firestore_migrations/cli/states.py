"""`status` and `history`: what the audit of a target tells."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.discovery import discover
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, PENDING, Answer, error_of
from firestore_migrations.runs.windows import Window
from firestore_migrations.runs.words import counts_in_words, duration, price_of, took, when

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.advice import Action
    from firestore_migrations.runs.holder import Holder
    from firestore_migrations.runs.overview import VersionStatus

COLOURS = {
    "verified": "green",
    "applied": "green",
    "baseline": "green",
    "failed": "red",
    "changed": "red",
    "missing": "red",
    "out_of_order": "red",
    "pending": "yellow",
    "planned": "yellow",
}
_MOST_WINDOWS = 20


def status(arguments: Namespace) -> Answer:
    """Every version's state; the exit code tells whether there is anything to do."""
    from firestore_migrations import configuration
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.runs.advice import Adviser
    from firestore_migrations.runs.ledger import Ledger

    discovered = discover(place.folder())
    target = place.target_of(place.target_name(arguments))
    with Reader(target.address) as reader:
        adviser = Adviser(target, Ledger(reader), discovered, configuration.rehearsals())
        advice = {version.version: (adviser.next(version), adviser.obstacle(version)) for version in adviser.versions}
    held, versions = adviser.held, adviser.versions
    data = {
        "target": target.name,
        "database": target.address.name,
        "versions": [{**asdict(version), **_advised(*advice[version.version])} for version in versions],
        "lease": None if held is None else asdict(held),
    }

    def show(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, header_style="dim", pad_edge=False)
        for column in ("version", "name", "state", "rollout", "when", "run"):
            table.add_column(column, no_wrap=True)
        for version in versions:
            rollout = f"{version.rollout_percent:g} %" if version.rollout_percent else ""
            at, run = when(version.updated_at), version.run or ""
            table.add_row(version.version, version.name, painted(version.state), rollout, at, run)
        console.print(f"[bold]{target.name}[/] ({target.environment}), {target.address.name}\n", soft_wrap=True)
        console.print(table)
        if held is not None:
            console.print(f"\n{_lease(held)}", soft_wrap=True)
        for version in versions:
            if version.remark:
                console.print(
                    f"\n{version.version} is {version.state}: {version.remark}.", markup=False, soft_wrap=True
                )
            for line in _windows_of(version):
                console.print(line, markup=False, soft_wrap=True)
        if discovered.errors:
            console.print(f"\n{len(discovered.errors)} files cannot be used: [bold]firestore-migrations check[/]")
        console.print(f"\n{_next(versions, advice)}", markup=False, soft_wrap=True)

    is_done = all(version.is_done for version in versions)
    return Answer(data, show, DONE if is_done else PENDING)


def history(arguments: Namespace) -> Answer:
    """Every run of a version, oldest first, and the last rehearsal of its file."""
    from firestore_migrations import configuration
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.ledger import Ledger
    from firestore_migrations.runs.rehearsal import newest

    discovered = discover(place.folder())
    target = place.target_of(place.target_name(arguments))
    with Reader(target.address) as reader:
        audit = Audit(Ledger(reader))
        version = place.version_of(arguments.version, place.known_versions(audit, discovered))
        runs = [{"run": run_id, **data, "seconds": seconds_of(data)} for run_id, data in audit.runs(version).items()]
        for run in runs:
            run["error"] = error_of(run["error"]) if run["error"] else None
        if arguments.events or arguments.output == "json":
            for run in runs:
                run["events"] = audit.events(version, run["run"])
    checksums = [found.checksum for found in discovered.migrations if found.version == version]
    rehearsal = newest(configuration.rehearsals(), checksums[0]) if checksums else None

    def show(console: Console) -> None:
        if rehearsal is not None:
            at = when(datetime.fromisoformat(rehearsal.finished_at))
            said = f", {rehearsal.reason}" if rehearsal.reason else ""
            console.print(f"Rehearsal of {at}: {rehearsal.verdict}{said}", markup=False, soft_wrap=True)
        if not runs:
            console.print(f"{version} was never run on {target.name}.")
            return
        console.print(_runs_table(runs))
        for run in runs if arguments.events else ():
            console.print(f"\n[bold]{run['run']}[/]", soft_wrap=True)
            for event in run["events"]:
                console.print(f"  {when(event['at'])}  {event['task']:9}  {painted(event['state'])}  ", end="")
                console.print(event["message"], markup=False, soft_wrap=True)

    last = None if rehearsal is None else asdict(rehearsal)
    return Answer({"target": target.name, "version": version, "runs": runs, "rehearsal": last}, show)


def seconds_of(run: Mapping[str, Any]) -> float | None:
    """How long a run took, by its audit document; None while it goes on."""
    length = took(run)
    return None if length is None else round(length.total_seconds(), 3)


def painted(state: str) -> str:
    """A state in its colour."""
    return f"[{COLOURS.get(state, 'cyan')}]{state}[/]"


def _windows_of(version: VersionStatus) -> list[str]:
    """The intervals of a version that is backfilled, a line for each kind; nothing of any other."""
    if version.windows is None:
        return []
    lines = [f"\nWindows of {version.version}, from the first instant up to but without the second, in UTC:"]
    for kind, windows in version.windows.items():
        shown = [Window.recorded(window).text for window in windows[:_MOST_WINDOWS]]
        more = [f"and {len(windows) - len(shown)} more"] if len(windows) > len(shown) else []
        lines.append(f"  {kind:11}  {', '.join(shown + more) or 'none'}")
    return lines


def _runs_table(runs: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False)
    has_windows = any(run.get("window") for run in runs)
    columns = ("started", "direction", "mode", "state", "took", "price", "who", "counts", "run")
    for column in (*columns, "window") if has_windows else columns:
        numeric = column in {"took", "price"}
        table.add_column(column, no_wrap=column != "counts", justify="right" if numeric else "left")
    for run in runs:
        started, state, price = when(run["started_at"]), painted(run["state"]), price_of(run)
        what = (started, run["direction"], run["mode"], state, duration(run["seconds"]), price)
        window = [Window.recorded(run["window"]).text if run.get("window") else ""] if has_windows else []
        table.add_row(*what, run["triggered_by"], counts_in_words(run["counts"]), run["run"], *window)
    return table


def _lease(held: Holder) -> str:
    """Who holds the target, since when, and what to do if it should not."""
    if not held.run:
        return f"{held.remark}; the target is free at {when(held.expires_at)}."
    since = f"since {when(held.since)}, " if held.since else ""
    return (
        f"Run {held.run} holds the target {since}until {when(held.expires_at)}, and renews that while it works; "
        "[bold]firestore-migrations unlock[/] takes it away."
    )


def _advised(following: Action | None, obstacle: str) -> dict[str, Any]:
    """The next safe thing to do with a version, and where there is none, why."""
    return {"next": None if following is None else asdict(following), "obstacle": obstacle}


def _next(versions: Sequence[VersionStatus], advice: Mapping[str, tuple[Action | None, str]]) -> str:
    """What to do now: with the first version that something can be done about, or that stands in the way of others."""
    if not versions:
        return 'There are no migrations yet: `firestore-migrations new "add user stats"`'
    waiting = sum(not version.is_done for version in versions)
    to_do = f"{waiting} to do. " if waiting else ""
    for version in versions:
        following, obstacle = advice[version.version]
        if following is not None:
            return f"{to_do}Next: {following.command(version.version)}: {following.why}."
        if obstacle:
            return f"{to_do}{version.version} is {version.state}. {obstacle}"
    return f"{to_do}A run is at work: `firestore-migrations watch`." if waiting else "Nothing is pending."

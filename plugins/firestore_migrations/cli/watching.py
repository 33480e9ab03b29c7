"""`watch`: follows a run from another process than the one that runs it, until it has ended."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import Discovered, discover
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, FAILED, INTERRUPTED, Answer, error_of
from firestore_migrations.cli.picture import Live, picture
from firestore_migrations.cli.progress import Lines, until_next_look
from firestore_migrations.errors import Refused, Unavailable, UnknownVersion
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.ledger import Ledger
    from firestore_migrations.runs.run import Target
    from firestore_migrations.runs.watch import Watch

_PATIENCE = 10.0  # seconds; the first look at a large run takes some
_SILENT = "the target does not answer; this goes on when it does"
_ENDED_BADLY = frozenset({status.FAILED, status.REJECTED})


def watch(arguments: Namespace) -> Answer:
    """Follow a run until it has ended; the exit code tells how. Ctrl-C ends the watching only, never the run."""
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.runs.ledger import Ledger
    from firestore_migrations.runs.watch import Watch

    discovered = discover(place.folder())
    target = place.target_of(place.target_name(arguments))
    # The reader is closed before its thread is waited for, so that a question that hangs ends.
    with ThreadPoolExecutor(1) as thread, Reader(target.address) as reader:
        ledger = Ledger(reader)
        name = _meant(ledger, arguments.run, discovered, target)
        if name is None:
            return _nobody(target)
        migration = next((found for found in discovered.migrations if found.version == name.version), None)
        watch = Watch(target, reader, *name, configuration.prices(), migration)
        seen = _follow(_looks(watch, name, thread), name, target, verbose=arguments.verbose)
        entry = ledger.get(name.path)[0][0] if seen.has_ended else None
    return _answer(target, name, seen, error=None if entry is None else entry.data["error"])


def _meant(ledger: Ledger, text: str | None, discovered: Discovered, target: Target) -> RunName | None:
    """The run that was named; without a name the one that is at work, None where none is.

    Raises:
        Refused: there is no such run, or there are several.
    """
    from firestore_migrations.runs.audit import Audit

    audit = Audit(ledger)
    if text is None:
        return _at_work(ledger, audit)
    version, slash, run_id = text.partition("/")
    if slash:
        names = [RunName(place.version_of(version, place.known_versions(audit, discovered)), run_id)]
    else:
        names = [RunName(known, text) for known in audit.versions()]
    names = [name for name in names if name.run_id and "/" not in name.run_id]
    entries = ledger.get(*(name.path for name in names))[0] if names else []
    found = [name for name, entry in zip(names, entries, strict=True) if entry is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(
            f"{' and '.join(name.version for name in found)} each have a run {text}.",
            f"Say which: `firestore-migrations watch {found[0].holder}`.",
        )
    with suppress(UnknownVersion):
        version = place.version_of(version, place.known_versions(audit, discovered))
    of = version if version in place.known_versions(audit, discovered) else "VERSION"
    raise Refused(
        f"There is no run {text} on {target.name}.",
        f"Look for its id with `firestore-migrations history {of}`; without one, the run at work is watched.",
        run=text,
    )


def _at_work(ledger: Ledger, audit: Audit) -> RunName | None:
    """The run that holds the target, else the newest one that has not ended."""
    from firestore_migrations.runs.holder import holder
    from firestore_migrations.runs.watch import has_ended

    unfinished = []
    held = holder(ledger)
    for version in audit.versions():
        for run_id, data in audit.runs(version).items():
            name = RunName(version, run_id)
            if held is not None and held.run == name.holder:
                return name
            if not has_ended(data, is_holder=False):
                unfinished.append((data["started_at"], name))
    return max(unfinished)[1] if unfinished else None


def _follow(looks: Iterator[Progress], name: RunName, target: Target, *, verbose: bool) -> Progress:
    """Show what is seen until the run has ended, or somebody presses Ctrl-C; return what was seen last."""
    seen = Progress()
    with suppress(KeyboardInterrupt), _shown(name, target, verbose=verbose) as shown:
        for seen in looks:
            shown.show(seen)
    return seen


@contextmanager
def _shown(name: RunName, target: Target, *, verbose: bool) -> Iterator[Lines | Live]:
    if not verbose and sys.stderr.isatty():
        with Live(_title(name, target)) as live:
            yield live
        return
    sys.stderr.write(f"{_title(name, target)}\n")
    yield Lines(name.version)


def _looks(watch: Watch, name: RunName, thread: ThreadPoolExecutor) -> Iterator[Progress]:
    """What is seen about once a second, until the run has ended; while the target is silent, what was seen before.

    Raises:
        Refused: the run was in the audit, and is no longer.
        StorageError: a file of the run is missing or altered.
    """
    seen = Progress()
    while not seen.has_ended:
        began = time.monotonic()
        look = thread.submit(watch.look)
        while not wait([look], _PATIENCE).done:
            yield replace(seen, waiting=_SILENT)
        before = seen
        try:
            seen = look.result()
        except Unavailable:
            yield replace(seen, waiting=_SILENT)
            continue
        if before.state and not seen.state:
            raise Refused(
                f"Run {name.holder} is no longer in the audit; the database was emptied, or is another one.",
                "Look with `firestore-migrations status`.",
                run=name.holder,
            )
        yield seen
        if not seen.has_ended:
            time.sleep(until_next_look(time.monotonic() - began))


def _nobody(target: Target) -> Answer:
    def show(console: Console) -> None:
        console.print(f"No run is at work on [bold]{target.name}[/]; all have ended.", soft_wrap=True)
        console.print("  Watch one that has with its id: [bold]firestore-migrations history VERSION[/] lists them.")

    return Answer({"target": target.name, "run": None}, show)


def _answer(target: Target, name: RunName, seen: Progress, error: str | None) -> Answer:
    """How the run ended; or how far it was when the watching was stopped."""
    result: dict[str, Any] = {"target": target.name, "version": name.version, "run": name.run_id, **asdict(seen)}
    code = FAILED if error or seen.state in _ENDED_BADLY else DONE
    next_step = f"What happened: firestore-migrations history {name.version} --events"
    if not seen.has_ended:
        code = INTERRUPTED
        message = f"Stopped watching with Ctrl-C; run {name.holder} is as it was."
        next_step = f"Watch it again: firestore-migrations watch {name.holder}"
        result["error"] = {"type": "Interrupted", "message": message}
        sys.stderr.write(f"Interrupted: {message}\n")
    elif code == FAILED:
        result["error"] = error_of(error or f"the run ended as {seen.state}")

    def show(console: Console) -> None:
        console.print(picture(_title(name, target), seen))
        if code == FAILED:
            found = result["error"]
            console.print(f"\n  {found['type'] or 'Error'}: {found['message']}", markup=False, soft_wrap=True)
        console.print(f"\n  {next_step}", markup=False, soft_wrap=True)

    return Answer(result, show, code)


def _title(name: RunName, target: Target) -> str:
    return f"{name.version} on {target.name}, run {name.run_id}"

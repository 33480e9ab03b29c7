"""`rehearse`: every pending version up and down again on a copy of the data."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from firestore_migrations import configuration
from firestore_migrations.authoring.discovery import discover
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, FAILED, Answer
from firestore_migrations.dag_run import run_in_process, run_on_scheduler
from firestore_migrations.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.authoring.migration import Migration
    from firestore_migrations.runs.rehearsal import Rehearsal

_DAG_ID = "firestore_rehearsal"
_COLOURS = {"passed": "green", "failed": "red", "not_rehearsed": "yellow"}


def rehearse(arguments: Namespace) -> Answer:
    """Rehearse by the scheduler, or in this process where there is none; the exit code tells whether all passed."""
    from firestore_migrations.operators.rehearsal import rehearsing

    discovered = discover(place.folder())
    versions = [place.version_of(arguments.version, discovered.versions)] if arguments.version else []
    name = configuration.rehearsal_target() if arguments.target is None else arguments.target
    if not name:
        raise ConfigurationError(
            "There is no rehearsal database.",
            "Name its connection with --target, or in [firestore_migrations] rehearsal_target; its extra says "
            "whose copy it is: rehearsal_of.",
        )
    target = place.target_of(name)
    rehearsing(name, "")  # refuses a target that nothing may overwrite, before anything begins
    params = {"target": name, "versions": versions}
    run_id = run_on_scheduler(
        _DAG_ID, params, place.folder(), verbose=arguments.verbose, started=_say("the scheduler runs it")
    )
    found = (
        _in_process(name, discovered.migrations, versions, verbose=arguments.verbose)
        if run_id is None
        else _found(name, run_id)
    )
    broken = [str(error) for error in discovered.errors]
    data = {"target": target.name, "source": target.policy.rehearsal_of, "versions": [asdict(one) for one in found]}

    def show(console: Console) -> None:
        for one in found:
            verdict = f"[{_COLOURS[one.verdict]}]{one.verdict}[/]"
            console.print(f"{one.version} {verdict}, {one.documents:,} documents, {one.price:.6f} USD", soft_wrap=True)
            if one.reason:
                console.print(f"  {one.reason}", markup=False, soft_wrap=True)
        for message in broken:
            console.print(message, markup=False, soft_wrap=True)
        if not found and not broken:
            console.print(f"Nothing is pending in {target.policy.rehearsal_of}.")

    is_good = not broken and all(one.is_passed for one in found)
    return Answer({**data, "broken": broken}, show, DONE if is_good else FAILED)


def _in_process(
    target: str, migrations: tuple[Migration, ...], versions: list[str], *, verbose: bool
) -> list[Rehearsal]:
    """Rehearse without a scheduler: each version's own DAG, one after another, in this process."""
    from firestore_migrations.operators.rehearsal import rehearsing
    from firestore_migrations.runs import rehearse as engine

    def perform(version: str, direction: str, begins: Callable[[str], None]) -> None:
        _say(direction)(version)
        migration = next(found for found in migrations if found.version == version)
        params = {"target": target, "mode": "apply", "direction": direction}
        run_in_process(migration, params, verbose=verbose, started=begins)

    rehearsal = rehearsing(target, f"command__{datetime.now(timezone.utc).isoformat()}")
    return engine.rehearse(rehearsal, migrations, perform, versions)


def _found(target: str, run_id: str) -> list[Rehearsal]:
    """What a rehearsal has found that the scheduler ran."""
    from firestore_migrations.operators.rehearsal import rehearsing
    from firestore_migrations.runs.rehearsal import find

    rehearsal = rehearsing(target, run_id)
    course = rehearsal.course()
    if course is None:
        raise ConfigurationError(
            f"The rehearsal {run_id} ended before the copy of the data was made.",
            f"The task `refresh` of {_DAG_ID} says why.",
        )
    kept = [find(rehearsal.results, checksum, run_id) for checksum in course.versions.values()]
    return [one for one in kept if one is not None]


def _say(what: str) -> Callable[[str], Any]:
    return lambda name: sys.stderr.write(f"{name}: {what}\n")

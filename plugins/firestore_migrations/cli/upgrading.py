"""`upgrade`: every pending version in order."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.discovery import Discovered, discover
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, FAILED, Answer, error_of
from firestore_migrations.cli.running import params_of
from firestore_migrations.dag_run import run_in_process, run_on_scheduler
from firestore_migrations.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.run import Target

_DAG_ID = "firestore_upgrade"


def upgrade(arguments: Namespace) -> Answer:
    """Upgrade by the scheduler, or in this process where there is none; it stops at the first version that fails."""
    from firestore_migrations.params import make_params
    from firestore_migrations.runs.upgrade import versions_to_run

    discovered = discover(place.folder())
    to = place.version_of(arguments.to, discovered.versions) if arguments.to else ""
    name = place.target_name(arguments)
    target = place.target_of(name)
    given = params_of(arguments.params or [], {name: param.schema.get("type") for name, param in make_params().items()})
    for param in given.keys() & {"target", "to", "mode", "direction", "redrive", "undo", "window", "rollout_percent"}:
        raise ConfigurationError(f"--set {param} is not for an upgrade.", "Run that version by itself.", param=param)
    versions = versions_to_run(target, discovered, to)
    params = {**given, "target": name, "to": to, "mode": "apply"}
    fault = ""
    if versions:
        run_id = run_on_scheduler(_DAG_ID, params, place.folder(), verbose=arguments.verbose, started=_say)
        if run_id is None:
            fault = _in_process(target, discovered, versions, given, verbose=arguments.verbose)
    return _answer(target, discovered, versions, to, fault)


def _in_process(
    target: Target, discovered: Discovered, versions: Sequence[str], given: dict[str, Any], *, verbose: bool
) -> str:
    """Run each version's own DAG in this process; gives what stopped it, or nothing."""
    from firestore_migrations.runs.upgrade import refuse_bad_end

    for version in versions:
        migration = next(found for found in discovered.migrations if found.version == version)
        params = {**given, "target": target.name, "mode": "apply", "direction": "up"}
        run_id = run_in_process(migration, params, verbose=verbose, started=_say)
        try:
            refuse_bad_end(target, version, run_id, "apply")
        except Refused as error:
            return f"{type(error).__name__}: {error}"
    return ""


def _answer(target: Target, discovered: Discovered, versions: Sequence[str], to: str, fault: str) -> Answer:
    """What the audit says now of the versions that were to be run."""
    from firestore_migrations.runs.upgrade import versions_to_run

    left = versions_to_run(target, discovered, to)
    done = [version for version in versions if version not in left]
    if left and not fault:
        fault = f"Refused: {left[0]} is not done. See `firestore-migrations history {left[0]} --events`."
    data: dict[str, Any] = {"target": target.name, "done": done, "left": list(left)}
    if left:
        data["error"] = error_of(fault)

    def show(console: Console) -> None:
        console.print(f"Done on [bold]{target.name}[/]: {', '.join(done) or 'nothing was pending'}", soft_wrap=True)
        if left:
            console.print(f"Left: {', '.join(left)}")
            console.print(fault, markup=False, soft_wrap=True)

    return Answer(data, show, FAILED if left else DONE)


def _say(run_id: str) -> None:
    sys.stderr.write(f"run {run_id}\n")

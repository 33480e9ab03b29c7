"""`verify`: looks again whether the data is what an applied version promises."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.cli import place
from firestore_migrations.cli.performing import DONE, FAILED, Answer
from firestore_migrations.errors import ChecksumChanged, Refused

if TYPE_CHECKING:
    from rich.console import Console

    from firestore_migrations.runs.finding import Finding
    from firestore_migrations.runs.run import Run

_MOST_SHOWN = 10


def verify(arguments: Namespace) -> Answer:
    """Look at the data once, at a fresh read time. Writes nothing, so what it finds is for a person to act on."""
    from firestore_migrations.runs.price import Usage
    from firestore_migrations.runs.verify import look_again

    migration, _ = place.migration_of(arguments.version)
    run, state = _last_run(migration, place.target_name(arguments))
    began = time.monotonic()
    finding = look_again(run)
    result: dict[str, Any] = {
        "version": run.version,
        "run": run.id,
        "state": state,
        "residue": finding.residue,
        "held": finding.held,
        "changed_since": finding.changed_since,
        "born_since": finding.born_since,
        "failed_checks": [{"path": path, "check": check} for path, check, *_ in finding.failed_checks],
        "reads": finding.reads,
        "price": run.prices.of(Usage(reads=finding.reads)),
        "seconds": round(time.monotonic() - began, 3),
    }
    problem = _problem(run, finding)
    if problem:
        result["error"] = {"type": "VerifyFailed", "message": problem}

    def show(console: Console) -> None:
        mark = "[red]✗[/]" if problem else "[green]✓[/]"
        console.print(f"{mark} {run.version} {migration.name} on [bold]{run.target.name}[/], {state}", soft_wrap=True)
        console.print(
            f"  {finding.residue:,} documents in the old shape, {len(finding.failed_checks):,} failed checks; "
            f"of what the last run wrote, "
            f"{finding.held:,} are as it left them and {finding.changed_since:,} changed since"
        )
        console.print(f"  cost {result['price']:.6f} USD, {result['seconds']:.1f} s")
        for path, check, *_ in finding.failed_checks[:_MOST_SHOWN]:
            console.print(f"  {path or 'script'}: {check} does not hold", markup=False, soft_wrap=True)
        if problem:
            console.print(f"\n  {problem}", markup=False, soft_wrap=True)

    return Answer(result, show, FAILED if problem else DONE)


def _last_run(migration: Migration, target: str) -> tuple[Run, str]:
    """The run that is looked at, the last one that wrote; and the version's state.

    Raises:
        Refused: nothing was applied, or the file is not what was.
    """
    from firestore_migrations.firestore.connection import Reader
    from firestore_migrations.operators.migration import run_of
    from firestore_migrations.runs import status
    from firestore_migrations.runs.audit import Audit
    from firestore_migrations.runs.gates import committed_runs
    from firestore_migrations.runs.ledger import Ledger
    from firestore_migrations.runs.windows import Window

    version = migration.version
    place.target_of(target)
    run = run_of(version, target, {}, run_id="", dag_id=migration.dag_id)
    with Reader(run.target.address) as reader:
        audit = Audit(Ledger(reader))
        record = audit.versions().get(version, {"state": status.PENDING})
        if record["state"] not in {status.APPLIED, status.VERIFIED, status.PARTIAL, status.FAILED}:
            raise Refused(
                f"{version} is {record['state']} on {target}: there is nothing to verify.",
                f"Apply it with `firestore-migrations run {version}`.",
                version=version,
            )
        if record["checksum"] != migration.checksum:
            raise ChecksumChanged(
                f"{migration.path.name} was edited after {version} was applied to {target}.",
                "Take the edit back and write a new version with `firestore-migrations new`.",
                version=version,
            )
        wrote, runs = committed_runs(run, audit), audit.runs(version)
    percent = record["rollout_percent"] or 100
    last = wrote[0] if wrote else record["run"]
    window = runs.get(last, {}).get("window") if percent < 100 or not record["rollout_percent"] else None
    interval = "" if window is None else str(Window.recorded(window))  # of a backfill that is not done, its last one
    options = replace(run.options, rollout_percent=percent, window=interval)
    return replace(run, id=last, options=options), record["state"]


def _problem(run: Run, finding: Finding) -> str:
    if finding.residue:
        return (
            f"{finding.residue} documents of {run.version} are in the old shape; something still writes it, or did. "
            f"Migrate them with `firestore-migrations run {run.version}`."
        )
    if finding.failed_checks:
        return (
            f"{len(finding.failed_checks)} checks of {run.version} do not hold. "
            f"Mend the data, or take the version back with `firestore-migrations rollback {run.version}`."
        )
    return ""

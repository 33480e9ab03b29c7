"""The gates: may this run begin, and may it go on? Order, checksum, and nothing applied twice.

Each refusal names what is in the way and the next command. Nothing is written by looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from firestore_migrations.errors import ChecksumChanged, OutOfOrder, Refused, UnknownVersion
from firestore_migrations.runs import status, windows
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.rehearsal import refuse_unrehearsed
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.standing import standing

_UNDOING = frozenset({status.ROLLING_BACK, status.ROLLED_BACK})
Versions = Mapping[str, Mapping[str, Any]]


def check_gates(run: Run, audit: Audit) -> None:
    """Refuse a run that may not begin. A dry run needs no order.

    Raises:
        Refused: with the next command.
    """
    if run.options.rollout_percent < 100 and any(step.is_script for step in run.migration.steps):
        raise Refused(
            f"{run.version} has a script, which cannot be rolled out to {run.options.rollout_percent:g} %.",
            "Run it at 100 %, or write it with @each_document.",
        )
    versions = audit.versions()
    if run.window is not None:
        _refuse_window(run, versions)
    if run.is_down:
        later = [name for name in _touched(versions) if _number(name) > _number(run.version)]
        last = max(later, key=_number, default="")
        what = f"{run.version} cannot be rolled back before the later"
        _refuse_if(OutOfOrder, later, what, f"Roll back with `firestore-migrations rollback {last}` first.")
    elif run.options.mode == APPLY:
        refuse_over_older(run, versions)
        if not audit.has_batches(run):  # what is half written is to be finished, whatever the last night found
            refuse_unrehearsed(run)
        _refuse_behind_later(run, versions)
        if not run.options.redrive:
            _refuse_a_second_time(run, audit)
            _refuse_edited(run, versions, run.version, run.migration.checksum)


def _refuse_window(run: Run, versions: Versions) -> None:
    """Refuse an interval of a version that has no window, or that keeps a list of very many already."""
    if not run.migration.has_windows:
        raise Refused(
            f"{run.version} has no step with a window, so it cannot take the interval {run.window}.",
            f'Write @each_document(..., window="createdAt") in a new version, or run it without: '
            f"`firestore-migrations run {run.version}`.",
            version=run.version,
        )
    entries = versions.get(run.version, {}).get("windows", ())
    if len(entries) >= windows.MOST and all(entry["run"] != run.id for entry in entries):
        raise Refused(
            f"{run.version} lists {len(entries)} windows; its document of the audit holds no more.",
            f"Take what is left in one run: `firestore-migrations run {run.version}`; or use longer intervals.",
            version=run.version,
        )


def refuse_what_is_overtaken(run: Run, audit: Audit) -> None:
    """What a run may still write, it may write only while nothing has gone on from it.

    Raises:
        ChecksumChanged: the file was edited after the run's plan was reviewed.
        OutOfOrder: a later version is applied.
        Refused: a newer run has taken this version back; or it must not be applied twice, and another run did; or
            it is a rollback, and a newer run has written since.
    """
    runs = audit.runs(run.version)
    data = runs.get(run.id, {})
    if run.is_down:
        _refuse_stale_rollback(run, runs, audit)
        refuse_sealed(run, data)
        return
    if run.id in runs and runs[run.id]["checksum"] != run.migration.checksum:
        raise ChecksumChanged(
            f"{run.migration.path.name} was edited after the plan of run {run.id} was reviewed.",
            "Take the edit back, or trigger a new run. Where nothing is written yet, clear `dry_run` instead.",
            version=run.version,
        )
    refuse_taken_back(run, runs)
    refuse_sealed(run, data)
    if not run.options.redrive and run.id not in committed_runs(run, audit):
        _refuse_a_second_time(run, audit)
    later = _later(run, audit.versions())
    what = f"Run {run.id} of {run.version} cannot go on behind the later"
    _refuse_if(OutOfOrder, later, what, "Roll back with `firestore-migrations rollback {}` first.")


def refuse_taken_back(run: Run, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to go on with a run that a rollback has taken back: a new one does it again.

    Args:
        run: that may be in the audit already.
        runs: of its version, oldest first.
    """
    newer = list(runs)[list(runs).index(run.id) + 1 :] if run.id in runs else []
    undone = [name for name in newer if runs[name]["state"] in _UNDOING and _takes_back(run.id, name, runs)]
    if undone:
        raise Refused(
            f"Run {run.id} of {run.version} was taken back by {undone[0]}; it writes nothing more.",
            f"Trigger a new run: `{run.again}`.",
            run=undone[0],
        )


def refuse_sealed(run: Run, data: Mapping[str, Any]) -> None:
    """Refuse to go on with a run from which a newer one has gone on.

    Args:
        run: which.
        data: its audit document.
    """
    sealed_by = data.get("sealed_by")
    if sealed_by:
        raise Refused(
            f"Run {run.id} of {run.version} writes nothing more: {sealed_by} has gone on from where it stopped.",
            f"Trigger a new run: `firestore-migrations run {run.version}`; "
            f"or take the version back with `firestore-migrations rollback {run.version}`.",
            run=sealed_by,
        )


def _takes_back(run_id: str, rollback: str, runs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a rollback, which was not taken back itself, takes back a run, or the whole version."""
    if any(data["state"] == status.ROLLED_BACK and rollback in data.get("undoes", ()) for data in runs.values()):
        return False
    left = runs[rollback].get("leaves", {"state": status.ROLLED_BACK})
    return run_id in runs[rollback].get("undoes", ()) or left["state"] == status.ROLLED_BACK


def _refuse_stale_rollback(run: Run, runs: Mapping[str, Mapping[str, Any]], audit: Audit) -> None:
    """Refuse to go on with a rollback where a newer run has written: it would take that back as well."""
    newer = list(runs)[list(runs).index(run.id) + 1 :] if run.id in runs else []
    written = [name for name in newer if runs[name]["mode"] == APPLY and audit.count_written(run.version, name)]
    if written:
        raise Refused(
            f"Rollback {run.id} of {run.version} was overtaken by {written[-1]}, which has written since; "
            "it writes nothing more.",
            f"Trigger a new one: `firestore-migrations rollback {run.version}`.",
            run=written[-1],
        )


def committed_runs(run: Run, audit: Audit) -> tuple[str, ...]:
    """The runs of this version that have committed batches and were not taken back, newest first."""
    return committed_runs_of(run.version, audit, but=run.id)


def committed_runs_of(version: str, audit: Audit, but: str = "") -> tuple[str, ...]:
    """The same, by the version's name.

    Args:
        version: of the runs.
        audit: of the target.
        but: a run that is at work; if it takes the version back, it has not done so yet.
    """
    return tuple(run_id for run_id in standing(version, audit, but).ups if audit.count_written(version, run_id))


def refuse_over_older(run: Run, versions: Versions) -> None:
    """Refuse to build on older versions that are not applied, or not what was applied any more.

    Raises:
        Refused: naming the first of them.
    """
    older = [name for name in run.known if _number(name) < _number(run.version)]
    _refuse_if(
        OutOfOrder,
        [name for name in older if versions.get(name, {}).get("state") not in status.DONE],
        f"{run.version} comes after versions that are not applied here:",
        "Run `firestore-migrations run {}` first; if its work was done in another way, "
        "`firestore-migrations baseline {}`.",
    )
    for name in older:
        _refuse_edited(run, versions, name, run.checksums.get(name))
    gone = [
        name
        for name in _touched(versions)
        if run.known and _number(name) < _number(run.version) and name not in run.known
    ]
    _refuse_if(
        UnknownVersion,
        [name for name in gone if not versions[name].get("file_removed")],
        f"{run.version} comes after versions that are applied here, and whose files are gone:",
        "Restore the file, or accept that with `firestore-migrations repair {}`.",
    )


def _refuse_behind_later(run: Run, versions: Versions) -> None:
    """Refuse to write beneath a later version: it was made for the shape that this one leaves."""
    later = _later(run, versions)
    if versions.get(run.version, {}).get("state") not in status.TOUCHED:
        _refuse_if(
            OutOfOrder,
            later,
            f"{run.version} is pending behind versions that are applied:",
            f"Roll those back, or give this migration the next free version; if its work was done in another way, "
            f"`firestore-migrations baseline {run.version}`.",
        )
    _refuse_if(
        OutOfOrder,
        later,
        f"{run.version} cannot run again behind the later",
        "Roll back with `firestore-migrations rollback {}` first.",
    )


def _refuse_a_second_time(run: Run, audit: Audit) -> None:
    """A step that is not idempotent changes each document once: no second run, and no part of the scope first."""
    if run.migration.is_idempotent:
        return
    if run.options.rollout_percent < 100:
        raise Refused(
            f"{run.version} declares idempotent=False, so it cannot be rolled out in parts: the rest would come to "
            "documents that were changed before.",
            "Run it at 100 %, or guard its writes and drop idempotent=False.",
            version=run.version,
        )
    others = [run_id for run_id in committed_runs(run, audit) if run_id != run.id]
    if others:
        back = f"`firestore-migrations rollback {run.version}`"
        is_final = audit.runs(run.version)[others[0]].get("cancelled_by")
        raise Refused(
            f"{run.version} declares idempotent=False, and its run {others[0]} has written to {run.target.name}: "
            "it would apply twice.",
            f"Take it back with {back}."
            if is_final
            else f"Go on with that run by clearing its failed task, or take it back with {back}.",
            version=run.version,
            run=others[0],
        )


def _refuse_edited(run: Run, versions: Versions, version: str, checksum: str | None) -> None:
    """Refuse a file that is not what was applied; None where the file is not known."""
    record = versions.get(version, {})
    if checksum is None or record.get("state") not in status.DONE or record["checksum"] == checksum:
        return
    file = run.migration.path.name if version == run.version else f"{version}_{record['name']}.py"
    raise ChecksumChanged(
        f"{file} was edited after {version} was applied to {run.target.name}.",
        "Take the edit back and write a new version with `firestore-migrations new`; "
        f"or accept it as what was applied with `firestore-migrations repair {version}`.",
        version=version,
    )


def _touched(versions: Versions) -> list[str]:
    return [name for name, record in versions.items() if record["state"] in status.TOUCHED]


def _later(run: Run, versions: Versions) -> list[str]:
    return [name for name in _touched(versions) if _number(name) > _number(run.version)]


def _refuse_if(refusal: type[Refused], versions: Iterable[str], what: str, next_step: str) -> None:
    named = sorted(versions, key=_number)
    if named:
        raise refusal(f"{what} {', '.join(named)}.", next_step.replace("{}", named[0]), versions=tuple(named))


def _number(version: str) -> int:
    return int(version[1:])

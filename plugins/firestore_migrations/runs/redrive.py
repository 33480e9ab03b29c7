"""Redrive: a run over the documents that failed in earlier runs of its version, and over them alone.

It is a run like any other: backed up, planned, reviewed, applied, verified and taken back as such. What it migrates is
then no failure of the earlier run any more. The file may have been mended since: that is what a redrive is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from firestore_migrations.authoring.migration import Step
from firestore_migrations.errors import NothingToRedrive
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.point_in_time import PointInTime
from firestore_migrations.firestore.wire import Stored
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.options import APPLY, UP
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.standing import standing
from firestore_migrations.runs.windows import Window

Failed = dict[str, list[Failure]]
"""Open failures by the id of the run that they come from."""


def failed_before(run: Run, audit: Audit) -> Failed:
    """The open failures of the earlier runs of this version that were not taken back.

    A redrive of a window takes the failures of the runs whose windows lie in it.
    Those count too that this run has settled, or a redrive that was taken back itself.

    Raises:
        NothingToRedrive: there are none.
    """
    found: Failed = {}
    there = standing(run.version, audit).pile
    taken_back = frozenset(name for name in audit.runs(run.version) if name not in there) | {run.id}
    for run_id, data in reversed(audit.runs(run.version).items()):
        if data["state"] == status.ROLLED_BACK and data["leaves"]["state"] == status.ROLLED_BACK:
            break
        is_meant = data["direction"] == UP and data["mode"] == APPLY and _is_of_window(run, data)
        if run_id != run.id and is_meant:
            open_ones = audit.failures_of(run.version, run_id, redriven_by=taken_back)
            failures = [failure for failure in open_ones if _can_be_redriven(run, failure)]
            found.update({run_id: failures} if failures else {})
    if not found:
        raise NothingToRedrive(
            f"No document of {run.version} is left that failed on {run.target.name}.",
            f"Look with `firestore-migrations history {run.version}`; "
            f"`firestore-migrations run {run.version}` plans the whole scope again.",
            version=run.version,
        )
    return found


def documents(step: Step, failed: Failed, at: PointInTime) -> Iterator[Stored]:
    """The failed documents of a step that are still in its scope, in the order of names."""
    paths = {failure.path for failures in failed.values() for failure in failures if failure.step == step.name}
    conditions = filters.conditions(step.scope.where) if step.scope else ()
    found = at.get(sorted(paths, key=name_key))
    for stored in found.values():
        if stored is not None:
            fields = wire.Document.FromString(stored.raw).fields if conditions else {}
            if all(filters.matches(condition, fields) for condition in conditions):
                yield stored


def steps_of(run: Run, failed: Failed) -> list[Step]:
    """The steps that have failed documents."""
    names = {failure.step for failures in failed.values() for failure in failures}
    return [step for step in run.migration.steps if step.name in names]


def settle(run: Run, audit: Audit, failed: Failed) -> None:
    """Record in the earlier runs that these documents are migrated now, but for those that have failed again."""
    again = {failure.call for failure in audit.failures(run)}
    for run_id, failures in failed.items():
        mended = [failure for failure in failures if failure.call not in again]
        audit.record_redriven(run, run_id, mended)


def described(run: Run, audit: Audit, failed: Failed) -> str:
    """What is redriven, for the audit and for people; it says so where the file was edited since."""
    runs = audit.runs(run.version)
    edited = [run_id for run_id in failed if runs[run_id]["checksum"] != run.migration.checksum]
    total = sum(map(len, failed.values()))
    since = f"; the file was edited since {_names(edited)}, its checksum is {run.migration.checksum[:16]} now"
    return f"redrives {total} documents that failed in {_names(failed)}{since if edited else ''}"


def _is_of_window(run: Run, data: Mapping[str, Any]) -> bool:
    other = data.get("window")
    return run.window is None or (other is not None and run.window.contains(Window.recorded(other)))


def _can_be_redriven(run: Run, failure: Failure) -> bool:
    """A script has no single documents, and a step that is gone no transform."""
    return any(step.name == failure.step and not step.is_script for step in run.migration.steps)


def _names(run_ids: Iterable[str]) -> str:
    return ", ".join(sorted(run_ids))

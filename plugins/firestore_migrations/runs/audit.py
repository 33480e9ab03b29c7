"""The audit: what was done to a target, by whom and when, in the target itself.

    _migrations/{version}                              the version's state
    _migrations/{version}/runs/{run}                   one run
    _migrations/{version}/runs/{run}/batches/{rows}    one commit; written in that commit
    _migrations/{version}/runs/{run}/failures/{hash}   one document that could not be written
    _migrations/{version}/runs/{run}/events/{id}       what happened, append only

A run's state changes in one commit with the version's state and an event that says why, based on what was read: two
processes cannot both make the same step.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.runs import status
from firestore_migrations.runs.ledger import Conflict, Entry, Ledger
from firestore_migrations.runs.run import APPLY, Run, instant

ROOT = "_migrations"
NO_COUNTS = dict.fromkeys(
    ("scanned", "created", "updated", "deleted", "unchanged", "drifted", "conflicts", "failed"), 0
)


class BatchRecord(NamedTuple):
    """One committed batch, and its commit time in microseconds: the update time of its documents."""

    rows: str
    shard: int
    writes: int
    drifted: int
    drift: str
    commit_time: int = 0


class Failure(NamedTuple):
    """A document that could not be planned or written."""

    path: str
    step: str
    error: str
    row: int | None = None


class Audit:
    """Reads and writes the audit of one target.

    Args:
        ledger: of the target.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def versions(self) -> dict[str, dict[str, Any]]:
        """The audit document of every version that has one."""
        return {name: entry.data for name, entry in self._ledger.entries(ROOT) if name != "_lease"}

    def runs(self, version: str) -> dict[str, dict[str, Any]]:
        """The audit document of every run of a version, oldest first."""
        runs = {name: entry.data for name, entry in self._ledger.entries(f"{ROOT}/{version}/runs")}
        return dict(sorted(runs.items(), key=lambda item: item[1]["started_at"]))

    def run(self, run: Run) -> dict[str, Any] | None:
        """The run's audit document, or None before it began."""
        entry = self._ledger.get(run.path)[0][0]
        return None if entry is None else entry.data

    def batches(self, version: str, run_id: str) -> list[BatchRecord]:
        """Every batch that a run has committed, in the order of rows."""
        return [
            BatchRecord(
                rows=name,
                shard=entry.data["shard"],
                writes=entry.data["writes"],
                drifted=entry.data["drifted"],
                drift=entry.data.get("drift", ""),
                commit_time=entry.update_time,
            )
            for name, entry in self._ledger.entries(f"{ROOT}/{version}/runs/{run_id}/batches")
        ]

    def count_batches(self, version: str, run_id: str) -> int:
        """How many batches a run has committed; cheap however many there are."""
        return self._ledger.count(f"{ROOT}/{version}/runs/{run_id}/batches")

    def has_batches(self, run: Run) -> bool:
        """Whether a run has committed anything yet."""
        return next(self._ledger.entries(f"{run.path}/batches"), None) is not None

    def failures(self, run: Run) -> list[dict[str, Any]]:
        """Every open failure of a run."""
        entries = [entry.data for _, entry in self._ledger.entries(f"{run.path}/failures")]
        return [data for data in entries if data["state"] == "open"]

    def events(self, version: str, run_id: str) -> list[dict[str, Any]]:
        """What happened in a run, oldest first."""
        return [entry.data for _, entry in self._ledger.entries(f"{ROOT}/{version}/runs/{run_id}/events")]

    def begin(self, run: Run, read_time: int | None) -> None:
        """Create the run's audit document, unless it is there."""
        target = run.target
        self.record(
            run,
            "preflight",
            "the run began",
            status.PENDING,
            new={
                "direction": run.options.direction,
                "mode": run.options.mode,
                "target": target.name,
                "environment": target.environment,
                "dag_id": run.dag_id,
                "dag_run_id": run.id,
                "triggered_by": run.triggered_by,
                "approved_by": None,
                "checksum": run.migration.checksum,
                "plan_digest": None,
                "snapshot_uri": str(run.folder / "snapshot"),
                "plan_uri": str(run.folder / "plan"),
                "read_time": None if read_time is None else instant(read_time),
                "finished_at": None,
                "counts": NO_COUNTS,
                "reads": 0,
                "writes": 0,
                "deletes": 0,
                "price": 0.0,
                "error": None,
            },
        )

    def record(
        self,
        run: Run,
        task: str,
        message: str,
        state: str | None = None,
        *,
        new: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """Add an event; with a state or changes, change the run's document in the same commit.

        Args:
            run: the run.
            task: the task that reports.
            message: without values of documents.
            state: the run's new state; None leaves it.
            new: the fields of a run that begins; nothing happens if it began before.
            changes: other fields of the run's document.

        Raises:
            IllegalTransition: the state may not follow the present one.
        """
        version_path = f"{ROOT}/{run.version}"
        while True:
            (entry, version), now = self._ledger.get(run.path, version_path)
            if new is not None and entry is not None:
                return
            before = status.PENDING if entry is None else entry.data["state"]
            after = state or before
            status.check_transition(run.id, before, after)
            event = f"{run.path}/events/{now:016d}-{uuid.uuid4().hex[:8]}"
            writes = [
                self._ledger.create(
                    event,
                    {"at": instant(now), "task": task, "state": after, "message": message, "by": run.triggered_by},
                )
            ]
            fields = {**({"started_at": instant(now), **new} if new else {}), **changes, "state": after}
            if new or changes or after != before:
                writes.append(self._ledger.change(run.path, fields, entry))
            version_fields = _version_fields(run, before, after, version, instant(now))
            if version_fields:
                writes.append(self._ledger.change(version_path, version_fields, version))
            try:
                self._ledger.commit(writes, proof=event)
            except Conflict:
                continue
            return

    def batch_record(self, run: Run, record: BatchRecord) -> bytes:
        """The write that goes into a batch's commit, and lets the same batch never be committed again."""
        data = record._asdict()
        del data["commit_time"]  # the record's own update time
        if not record.drift:
            del data["drift"]
        return self._ledger.create(self.batch_path(run, record.rows), data)

    def batch_path(self, run: Run, rows: str) -> str:
        """The path of a batch's record."""
        return f"{run.path}/batches/{rows}"

    def is_committed(self, run: Run, rows: str) -> bool:
        """Whether the batch's commit arrived."""
        return self._ledger.get(self.batch_path(run, rows))[0][0] is not None

    def impossible_write(self, run: Run) -> bytes:
        """A write whose precondition cannot hold: no commit that it is in is ever carried out."""
        return self._ledger.impossible(f"{run.path}/batches/impossible")

    def failure_writes(self, run: Run, failures: Iterable[Failure]) -> list[bytes]:
        """The writes that record failures; recording one again changes nothing."""
        return [
            self._ledger.put(
                f"{run.path}/failures/{_failure_id(failure.path, failure.step)}",
                {**failure._asdict(), "state": "open"},
            )
            for failure in failures
        ]

    def record_failures(self, run: Run, failures: Iterable[Failure]) -> None:
        """Record exactly these as the open failures of a plan; those of an earlier plan of the run are settled."""
        names = {_failure_id(failure.path, failure.step) for failure in failures}
        writes = self.failure_writes(run, failures)
        writes += [
            self._ledger.change(f"{run.path}/failures/{name}", {"state": "redriven"}, entry)
            for name, entry in self._ledger.entries(f"{run.path}/failures")
            if name not in names and entry.data["state"] == "open"
        ]
        for first in range(0, len(writes), 200):
            self._ledger.commit_again(writes[first : first + 200])


def _failure_id(path: str, step: str) -> str:
    return hashlib.sha256(f"{step}\0{path}".encode()).hexdigest()[:32]


def _version_fields(run: Run, before: str, after: str, version: Entry | None, now: datetime) -> dict[str, Any]:
    """What a step of a run means for its version: nothing, until the run has written or the version never was."""
    old = status.PENDING if version is None else version.data["state"]
    if after == before and version is not None:
        return {}
    if run.options.mode != APPLY and old not in (status.PENDING, status.PLANNED):
        return {}
    percent = 0 if version is None else version.data["rollout_percent"]
    if after == status.VERIFIED:
        percent = max(percent, run.options.rollout_percent)
    elif after == status.ROLLED_BACK:
        percent = 0
    state = _version_state(run, before, after, old, percent)
    if version is not None and state == old and after not in (status.VERIFIED, status.ROLLED_BACK):
        return {}
    return {
        **_identity(run.migration),
        "state": state,
        "rollout_percent": percent,
        "windows": [] if version is None else version.data["windows"],
        "run": run.id,
        "updated_at": now,
    }


def _version_state(run: Run, before: str, after: str, old: str, percent: float) -> str:
    if after == status.VERIFIED:
        return status.VERIFIED if percent >= 100 else status.PARTIAL
    if after in (status.APPLYING, status.PAUSED, status.APPLIED, status.ROLLING_BACK, status.ROLLED_BACK):
        return after
    if after == status.FAILED and before in status.WRITING | {status.APPLIED, status.VERIFIED, status.ROLLED_BACK}:
        return status.FAILED
    if old in (status.PENDING, status.PLANNED, status.AWAITING_APPROVAL, status.ROLLED_BACK):
        if after in (status.PLANNED, status.AWAITING_APPROVAL) and not run.is_down:
            return after
        return status.PENDING if old != status.ROLLED_BACK else old
    return old


def _identity(migration: Migration) -> dict[str, Any]:
    return {
        "version": migration.version,
        "name": migration.name,
        "description": migration.description,
        "checksum": migration.checksum,
    }

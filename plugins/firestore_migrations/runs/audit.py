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
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from firestore_migrations.authoring.migration import Migration
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import Event, RunName, event_path, event_write
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.failure import Failure
from firestore_migrations.runs.ledger import Conflict, Entry, Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.plan import row_name
from firestore_migrations.runs.run import Run, instant
from firestore_migrations.runs.windows import marked

ROOT = "_migrations"
OPEN, REDRIVEN = "open", "redriven"
UNCHANGED = "unchanged"
NO_COUNTS = dict.fromkeys(
    ("scanned", "created", "updated", "deleted", "unchanged", "drifted", "conflicts", "failed"), 0
)


class Audit:
    """Reads and writes the audit of one target.

    Args:
        ledger: of the target.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def versions(self, at: int | None = None) -> dict[str, dict[str, Any]]:
        """The audit document of every version that has one; as it was at a time, in microseconds since 1970."""
        return {name: entry.data for name, entry in self._ledger.entries(ROOT, at) if name != "_lease"}

    def runs(self, version: str) -> dict[str, dict[str, Any]]:
        """The audit document of every run of a version, oldest first."""
        runs = {name: entry.data for name, entry in self._ledger.entries(f"{ROOT}/{version}/runs")}
        return dict(sorted(runs.items(), key=lambda item: item[1]["started_at"]))

    def run(self, run: Run) -> dict[str, Any] | None:
        """The run's audit document, or None before it began."""
        entry = self._ledger.get(run.path)[0][0]
        return None if entry is None else entry.data

    def batches(self, version: str, run_id: str, rows: range | None = None) -> list[BatchRecord]:
        """Every batch that a run has committed, in the order of rows; with `rows`, those that begin among these."""
        path = f"{RunName(version, run_id).path}/batches"
        ids = None if rows is None else (row_name(rows.start), row_name(rows.stop))
        return [BatchRecord.of(name, entry) for name, entry in self._ledger.entries(path, ids=ids)]

    def batch(self, run: Run, rows: str) -> BatchRecord | None:
        """The record of one batch; None if no commit of it has arrived."""
        (entry,), _ = self._ledger.get(self.batch_path(run, rows))
        return None if entry is None else BatchRecord.of(rows, entry)

    def count_batches(self, version: str, run_id: str) -> int:
        """How many batches a run has committed; cheap however many there are."""
        return self._ledger.count(f"{RunName(version, run_id).path}/batches")

    def count_written(self, version: str, run_id: str) -> int:
        """How many batches of a run have written something: those that were split or sealed have not."""
        return self._ledger.count(f"{RunName(version, run_id).path}/batches", "writes", 1)

    def has_batches(self, run: Run) -> bool:
        """Whether a run has committed anything yet."""
        return next(self._ledger.entries(f"{run.path}/batches"), None) is not None

    def failures(self, run: Run) -> list[Failure]:
        """Every open failure of a run."""
        return self.failures_of(run.version, run.id)

    def failures_of(self, version: str, run_id: str, redriven_by: Collection[str] = frozenset()) -> list[Failure]:
        """Every open failure of a run that is named by version and id, and those that these later runs have settled."""
        entries = [entry.data for _, entry in self._ledger.entries(f"{RunName(version, run_id).path}/failures")]
        found = [data for data in entries if data["state"] == OPEN or data.get("outcome") in redriven_by]
        return [Failure(**{name: data[name] for name in Failure._fields if name in data}) for data in found]

    def count_failures(self, run: Run, field: str, value: str) -> int:
        """How many failures of a run, settled ones too, have this value in a field."""
        entries = self._ledger.entries(f"{run.path}/failures")
        return sum(entry.data.get(field) == value for _, entry in entries)

    def events(self, version: str, run_id: str) -> list[dict[str, Any]]:
        """What happened in a run, oldest first."""
        return [entry.data for _, entry in self._ledger.entries(f"{RunName(version, run_id).path}/events")]

    def begin(self, run: Run, read_time: int | None) -> None:
        """Create the run's audit document, unless it is there."""
        target = run.target
        self.record(
            run,
            "preflight",
            "the run began",
            status.PENDING,
            new={
                **run.asked,
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
            RunPaused: no task lets a paused run go on; or RunCancelled, a cancelled one.
        """
        version_path = f"{ROOT}/{run.version}"
        while True:
            (entry, version), now = self._ledger.get(run.path, version_path)
            if new is not None and entry is not None:
                return
            before = status.PENDING if entry is None else entry.data["state"]
            after = state or before
            status.check_transition(run.id, before, after)
            if entry is not None and after not in (before, status.FAILED):
                status.refuse_to_write(entry.data)
            event, write = self._event(run, task, after, message, now)
            writes = [write]
            fields = {**({"started_at": instant(now), **new} if new else {}), **changes, "state": after}
            if new or changes or after != before:
                writes.append(self._ledger.change(run.path, fields, entry))
            version_fields = _version_fields(run, before, after, version, instant(now))
            if version_fields and after == status.ROLLED_BACK and entry is not None:
                version_fields |= entry.data.get("leaves", {})  # where older runs stand, or a rollback was taken back
            if version_fields:
                writes.append(self._ledger.change(version_path, version_fields, version))
            try:
                self._ledger.commit(writes, proof=event)
            except Conflict:
                continue
            return

    def _event(self, run: Run, task: str, state: str, message: str, now: int) -> tuple[str, bytes]:
        """The path of a new event, and the write that adds it."""
        path = event_path(run.path, now)
        return path, event_write(self._ledger, path, now, state, Event(task, message, run.triggered_by))

    def record_writing(self, run: Run, state: str) -> None:
        """Record that a run begins, or begins again, to write."""
        _, now = self._ledger.get(run.path)
        self.record(run, "apply", "began to write", state, error=None, writing_since=instant(now))

    def seconds_of_writing(self, run: Run) -> float:
        """How long ago the run began to write, by the server's clock."""
        (entry,), now = self._ledger.get(run.path)
        since = None if entry is None else entry.data.get("writing_since")
        return 0.0 if since is None else (instant(now) - since).total_seconds()

    def add_residue(self, run: Run, plan: str, first_row: int, rows: int) -> int:
        """Give a plan of residue its place among the rows of the run; no two plans ever overlap.

        Args:
            run: the run.
            plan: its folder.
            first_row: the first one behind the plan that was reviewed.
            rows: how many.

        Returns:
            The number of its first row.
        """
        message = f"{rows} writes are still to be made, of documents in the old shape"
        while True:
            (entry,), now = self._ledger.get(run.path)
            data = {} if entry is None else entry.data
            places = data.get("residue", [])
            place = max([first_row, *(place["first_row"] + place["rows"] for place in places)])
            places = [*places, {"plan": plan, "first_row": place, "rows": rows}]
            event, write = self._event(run, "verify", data.get("state", status.PENDING), message, now)
            try:
                self._ledger.commit([write, self._ledger.change(run.path, {"residue": places}, entry)], proof=event)
            except Conflict:
                continue
            return int(place)

    def batch_record(self, run: Run, record: BatchRecord) -> bytes:
        """The write that goes into a batch's commit, and lets the same batch never be committed again."""
        return self._ledger.create(self.batch_path(run, record.rows), record.written(), stamp="stamped_at")

    def batch_path(self, run: Run, rows: str) -> str:
        """The path of a batch's record."""
        return f"{run.path}/batches/{rows}"

    def impossible_write(self, run: Run) -> bytes:
        """A write whose precondition cannot hold: no commit that it is in is ever carried out."""
        return self._ledger.impossible(f"{run.path}/batches/impossible")

    def failure_writes(self, run: Run, failures: Iterable[Failure]) -> list[bytes]:
        """The writes, for the commit that sets their documents aside, that record open failures."""
        return self._puts(_failure_records(run.path, failures, state=OPEN))

    def redriven_writes(self, run: Run, failures: Iterable[Failure]) -> list[bytes]:
        """The writes, for the commit that migrates their documents, that record failures as settled."""
        return self._puts(_failure_records(run.path, failures, state=REDRIVEN, outcome="written"))

    def redriven_by_writes(self, run: Run, earlier: str, failures: Iterable[Failure]) -> list[bytes]:
        """The same for failures of an earlier run of the version."""
        return self._puts(_redriven_by(run, earlier, failures))

    def record_late_failures(self, run: Run, failures: Iterable[Failure]) -> None:
        """Record documents that verify, and nothing before it, could not plan."""
        late = [failure._replace(task="verify") for failure in failures]
        self._ledger.become(_failure_records(run.path, late, state=OPEN))

    def record_found_unchanged(self, run: Run, failures: Iterable[Failure]) -> None:
        """Record failures as settled whose documents are as the migration wants them, or are gone."""
        self._ledger.become(_failure_records(run.path, failures, state=REDRIVEN, outcome=UNCHANGED))

    def record_redriven(self, run: Run, earlier: str, failures: Iterable[Failure]) -> None:
        """Record in an earlier run of the version that this run has settled what failed there."""
        self._ledger.become(_redriven_by(run, earlier, failures))

    def record_failures(self, run: Run, failures: Iterable[Failure]) -> None:
        """Record exactly these as the open failures of a plan; those of an earlier plan of the run are settled."""
        records = _failure_records(run.path, failures, state=OPEN)
        settled = {
            path: {"state": REDRIVEN}
            for name, entry in self._ledger.entries(f"{run.path}/failures")
            if (path := f"{run.path}/failures/{name}") not in records and entry.data["state"] == OPEN
        }
        self._ledger.become({**records, **settled})

    def _puts(self, records: Mapping[str, Mapping[str, Any]]) -> list[bytes]:
        return [self._ledger.put(path, data) for path, data in records.items()]


def _failure_records(run_path: str, failures: Iterable[Failure], **facts: str) -> dict[str, dict[str, Any]]:
    """The documents of failures, by path."""
    return {f"{run_path}/failures/{_failure_id(f.path, f.step)}": {**f._asdict(), **facts} for f in failures}


def _redriven_by(run: Run, earlier: str, failures: Iterable[Failure]) -> dict[str, dict[str, Any]]:
    return _failure_records(RunName(run.version, earlier).path, failures, state=REDRIVEN, outcome=run.id)


def _failure_id(path: str, step: str) -> str:
    return hashlib.sha256(f"{step}\0{path}".encode()).hexdigest()[:32]


def _version_fields(run: Run, before: str, after: str, version: Entry | None, now: datetime) -> dict[str, Any]:
    """What a step of a run means for its version: nothing, until the run has written or the version never was."""
    old = status.PENDING if version is None else version.data["state"]
    if run.options.redrive:  # it completes what another run has brought about
        return {**identity(run.migration), "updated_at": now} if after == status.VERIFIED != before else {}
    if after == before and version is not None:
        return {}
    if run.options.mode != APPLY and old not in (status.PENDING, status.PLANNED):
        return {}
    percent = 0 if version is None else version.data["rollout_percent"]
    windows = [] if version is None else version.data["windows"]
    if run.options.mode == APPLY:
        windows = marked(windows, run.id, None if run.window is None else run.window.fields, after)
    if after == status.VERIFIED and run.window is None:
        percent = max(percent, run.options.rollout_percent)
    elif after == status.ROLLED_BACK:
        percent, windows = 0, []
    state = _version_state(run, before, after, old, percent)
    if version is not None and state == old and after not in (status.VERIFIED, status.ROLLED_BACK):
        return {} if windows == version.data["windows"] else {"windows": windows, "updated_at": now}
    return {
        **identity(run.migration),
        "state": state,
        "rollout_percent": percent,
        "windows": windows,
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


def identity(migration: Migration) -> dict[str, Any]:
    """What a version's document says of its file."""
    return {
        "version": migration.version,
        "name": migration.name,
        "description": migration.description,
        "checksum": migration.checksum,
    }

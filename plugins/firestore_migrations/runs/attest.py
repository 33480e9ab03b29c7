"""attest: a person's word in the audit of a version, as a run that is over as soon as it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from firestore_migrations.runs.amend import Event, RunName, event_path, event_write
from firestore_migrations.runs.audit import NO_COUNTS
from firestore_migrations.runs.holder import PATH
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.options import UP
from firestore_migrations.runs.run import Target, instant


@dataclass(frozen=True)
class Statement:
    """What is told of a version.

    Attributes:
        mode: the verb.
        message: for the event.
        by: who tells it.
        state: the version's state from now on.
        checksum: of the file that is spoken of.
        facts: other fields of the event.
    """

    mode: str
    message: str
    by: str
    state: str
    checksum: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def attesting(ledger: Ledger, mode: str, version: str) -> Iterator[str]:
    """Hold the target while something is attested, so that no run begins on other grounds; gives the run's id.

    Raises:
        LeaseHeld: a run holds the target.
    """
    _, now = ledger.get(PATH)
    run_id = f"{mode}__{instant(now).isoformat()}"
    lease = Lease(ledger, RunName(version, run_id).holder)
    lease.acquire()
    try:
        yield run_id
    finally:
        lease.release()


def attest(ledger: Ledger, target: Target, name: RunName, statement: Statement, fields: Mapping[str, Any]) -> None:
    """Change a version's audit document, and record who did it and why as a run of its own, in one commit.

    Args:
        ledger: of the target.
        target: where.
        name: of the run.
        statement: what is told.
        fields: of the version's document that change.
    """
    while True:
        (entry,), now = ledger.get(name.version_path)
        changes = {**fields, "state": statement.state}
        if entry is None or entry.data["state"] != statement.state:
            changes |= {"run": name.run_id, "updated_at": instant(now)}
        proof = event_path(name.path, now)
        event = Event(statement.mode, statement.message, statement.by)
        writes = [
            event_write(ledger, proof, now, statement.state, event, statement.facts),
            ledger.create(name.path, _run_of(target, statement, name, now)),
            ledger.change(name.version_path, changes, entry),
        ]
        try:
            ledger.commit(writes, proof)
        except Conflict:
            continue
        return


def _run_of(target: Target, statement: Statement, name: RunName, now: int) -> dict[str, Any]:
    """The audit document of a run that has neither tasks nor files."""
    return {
        "direction": UP,
        "mode": statement.mode,
        "target": target.name,
        "environment": target.environment,
        "dag_id": "",
        "dag_run_id": name.run_id,
        "triggered_by": statement.by,
        "approved_by": None,
        "checksum": statement.checksum,
        "plan_digest": None,
        "snapshot_uri": None,
        "plan_uri": None,
        "read_time": None,
        "started_at": instant(now),
        "finished_at": instant(now),
        "state": statement.state,
        "counts": NO_COUNTS,
        "reads": 0,
        "writes": 0,
        "deletes": 0,
        "price": 0.0,
        "error": None,
    }

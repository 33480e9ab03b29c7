"""repair: accepts what cannot be undone any more, so that a version's state tells where it really stands.

Three things can be accepted: that the file of an applied version was edited, that it is gone, and that a run failed
which had written nothing. Nothing is ever deleted: who accepted it, and what was there before, stays in the audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.authoring.migration import Migration
from firestore_migrations.errors import Refused
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName
from firestore_migrations.runs.attest import Statement, attest, attesting
from firestore_migrations.runs.audit import Audit, identity
from firestore_migrations.runs.gates import committed_runs_of
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target

MODE = "repair"
_NEVER_RUN = {"state": status.PENDING, "checksum": ""}
_OVER = status.DONE | {status.PARTIAL, status.FAILED}
_INSTEAD = {
    status.PENDING: "Apply it with `firestore-migrations run {version}`.",
    status.PLANNED: "Apply it with `firestore-migrations run {version}`.",
    status.ROLLED_BACK: "Apply it again with `firestore-migrations run {version}`.",
    status.APPLYING: "End its run first: let it work, or `firestore-migrations cancel {version}`.",
    status.ROLLING_BACK: "End its run first: let it work, or `firestore-migrations cancel {version}`.",
    status.PAUSED: "Go on with `firestore-migrations resume {version}`, or `firestore-migrations cancel {version}`.",
    status.FAILED: "It has written documents: clear the failed task, go on with `firestore-migrations run {version}`, "
    "or take it back with `firestore-migrations rollback {version}`.",
    status.PARTIAL: "Migrate the rest with `firestore-migrations run {version}`.",
}
_RESTORE = "Restore its file: without it, it can neither be finished nor taken back."
_NOTHING = "Nothing is to be done: `firestore-migrations status` says so too."


@dataclass(frozen=True)
class Repaired:
    """What was accepted.

    Attributes:
        version: of the migration.
        run: the run that records it.
        state: the version's state now.
        message: what was accepted, and by whom.
        checksum_before: of the version in the audit.
        checksum_after: the same now.
    """

    version: str
    run: str
    state: str
    message: str
    checksum_before: str
    checksum_after: str


def repair(ledger: Ledger, target: Target, discovered: Discovered, version: str, by: str) -> Repaired:
    """Accept what is wrong with a version. No document is read or written.

    Raises:
        Refused: nothing is wrong that can be accepted; with the next command.
        LeaseHeld: a run holds the target.
        AuthoringError: the version's file is there and cannot be used.
    """
    for error in discovered.errors:
        if error.facts.get("version") == version:
            raise error
    migration = next((found for found in discovered.migrations if found.version == version), None)
    with attesting(ledger, MODE, version) as run_id:
        audit = Audit(ledger)
        record = audit.versions().get(version, {**_NEVER_RUN, "version": version})
        statement, fields = _judged(audit, target, migration, record, by)
        attest(ledger, target, RunName(version, run_id), statement, fields)
    before, after = record["checksum"], fields.get("checksum", record["checksum"])
    return Repaired(version, run_id, statement.state, statement.message, before, after)


def _judged(
    audit: Audit, target: Target, migration: Migration | None, record: dict[str, Any], by: str
) -> tuple[Statement, dict[str, Any]]:
    """What is accepted, and what it changes in the version's document."""
    version, state, before = record["version"], record["state"], record["checksum"]
    fields: dict[str, Any] = {}
    if state == status.FAILED and not committed_runs_of(version, audit):
        state, what = status.PENDING, f"accepted by {by}: it failed before anything was written, so it is pending again"
    elif state in status.DONE and migration is None and not record.get("file_removed"):
        fields, what = {"file_removed": True}, f"accepted by {by}: its file is gone"
    elif state in _OVER and migration is not None and migration.checksum != before:
        fields = {**identity(migration), "file_removed": False}
        what = f"accepted by {by}: the file with checksum {migration.checksum} is what was applied as {before}"
    else:
        instead = _INSTEAD.get(state, _NOTHING) if migration is not None or state in status.DONE else _RESTORE
        raise Refused(
            f"{version} is {state} on {target.name}, and nothing about it can be repaired.",
            instead.format(version=version),
            version=version,
            state=state,
        )
    after = fields.get("checksum", before)
    facts = {"checksum_before": before, "checksum_after": after}
    return Statement(MODE, what, by, state, after, facts), fields

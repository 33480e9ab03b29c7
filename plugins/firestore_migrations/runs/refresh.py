"""Refresh: make the rehearsal database what its source is now. The source is only ever read."""

from __future__ import annotations

import time
from dataclasses import dataclass

from firestore_migrations.errors import ConfigurationError, Refused
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.admin import MINUTE, Admin
from firestore_migrations.firestore.connection import Address, Reader, Writer
from firestore_migrations.firestore.everything import the_audit
from firestore_migrations.runs.audit import ROOT, Audit
from firestore_migrations.runs.copy import Commits, copy_documents
from firestore_migrations.runs.holder import PATH
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target

COPY, CLONE = "copy", "clone"
_OPERATION_SECONDS = 10.0


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        how: `copy` or `clone`.
        documents: that were copied; 0 for a clone, whose documents nobody counts.
        removed: documents that only the rehearsal database held.
        seconds: that it took.
    """

    how: str
    documents: int
    removed: int
    seconds: float


def refresh(source: Target, target: Target, holder: str) -> Refreshed:
    """Overwrite the rehearsal database with what its source holds. Safe to run again.

    Its audit then says of every version what the source's audit says, and knows no run: a rehearsal begins where the
    source stands, and takes back nothing that it has not done.

    Args:
        source: opened for reading alone, with the planner's identity where it has one.
        target: the rehearsal database; held by a lease meanwhile.
        holder: of that lease.

    Raises:
        Refused: the target is no rehearsal database of this source; nothing was opened.
        LeaseHeld: a run works on the rehearsal database.
        ConfigurationError: Google refused the clone.
    """
    refuse_to_overwrite(source, target)
    began = time.monotonic()
    how = target.policy.refresh or (CLONE if target.address.has_admin else COPY)
    documents = removed = 0
    if how == CLONE:
        _refuse_held(target, holder)
        clone(source.address, target.address)
    with Reader(source.address) as reader, Writer(target.address) as writer:
        if how == CLONE:
            _forget_audit(writer, but_lease=False)  # the lease is the one that the source had at that minute
        lease = Lease(Ledger(writer), holder)
        lease.acquire()
        try:
            with lease.kept():
                if how == COPY:
                    copied = copy_documents(reader, writer)
                    documents, removed = copied.documents, copied.removed
                    _forget_audit(writer, but_lease=True)
                _take_over_versions(reader, writer)
        finally:
            lease.release()
    return Refreshed(how, documents, removed, round(time.monotonic() - began, 3))


def refuse_to_overwrite(source: Target, target: Target) -> None:
    """Refuse a target that is not, by its own connection, the copy of this source.

    Raises:
        Refused: naming what is wrong; nothing was opened.
    """
    remedy = (
        "Rehearse on a database of its own, whose connection says so in its extra: "
        '{"database": "rehearsal", "rehearsal_of": "' + source.name + '"}.'
    )
    if not target.policy.rehearsal_of:
        raise Refused(f"{target.name} holds data of its own; nothing may overwrite it.", remedy, target=target.name)
    if target.policy.rehearsal_of != source.name:
        raise Refused(
            f"{target.name} is the copy of {target.policy.rehearsal_of}, not of {source.name}.",
            remedy,
            target=target.name,
        )
    if target.environment == "production":
        raise Refused(
            f"{target.name} is a production database by its connection; nothing may overwrite it.",
            'Put {"environment": "staging"} into its extra if it is not.',
            target=target.name,
        )
    if target.address.name == source.address.name:
        raise Refused(
            f"{target.name} and {source.name} lead to one database, {source.address.name}; nothing was overwritten.",
            remedy,
            target=target.name,
        )


def clone(source: Address, copy: Address, seconds: float = _OPERATION_SECONDS) -> None:
    """Replace a database by a clone of another one of the same project, as it was at the last whole minute.

    A clone that is under way already is waited for, so this is safe to run again.

    Args:
        source: what to clone.
        copy: is deleted first, where it exists.
        seconds: between two looks at an operation of Google's.

    Raises:
        ConfigurationError: Google refused, or the operation failed; its own reason is in the message.
    """
    if source.project != copy.project:
        raise ConfigurationError(
            f"A clone stays in its project: {copy.name} cannot be one of {source.name}.",
            'Name a database of the same project, or put {"refresh": "copy"} into the rehearsal connection\'s extra.',
        )
    with Admin(source) as origin:
        earliest = origin.earliest_version_time()
    minute = time.time_ns() // 1000 // MINUTE * MINUTE
    with Admin(copy) as admin:
        found = None
        if admin.has_database():
            under_way = (operation for operation in admin.list_operations() if not operation.is_done)
            found = next((operation for operation in under_way if operation.kind == "CloneDatabaseMetadata"), None)
            if found is None:
                _wait(admin, admin.delete_database().name, f"deleting {copy.name}", seconds)
        if found is None:
            found = admin.clone_database(source, max(minute, -(-earliest // MINUTE) * MINUTE))
        _wait(admin, found.name, f"cloning {source.name} as {copy.name}", seconds)


def _wait(admin: Admin, operation: str, doing: str, seconds: float) -> None:
    ended = admin.wait(operation, seconds=seconds)
    if ended.error:
        raise ConfigurationError(f"Google gave up {doing}: {ended.error}.", "Correct that, then clear `refresh`.")


def _refuse_held(target: Target, holder: str) -> None:
    """Refuse to delete a database that a run works on."""
    with Admin(target.address) as admin:
        if not admin.has_database():
            return
    with Writer(target.address) as writer:
        Lease(Ledger(writer), holder).acquire()


def _forget_audit(writer: Writer, *, but_lease: bool) -> None:
    """Remove what the audit says of earlier rehearsals, or of the source's runs, which a clone brings along."""
    _, now = writer.get([PATH])
    commits = Commits(writer)
    for stored in the_audit(writer, now):
        if not (but_lease and stored.path == PATH):
            commits.add(wire.Write(delete=writer.full_name(stored.path)).SerializeToString())
    commits.send()


def _take_over_versions(source: Reader, writer: Writer) -> None:
    """Let every version stand in the copy as it stands in the source."""
    ledger = Ledger(writer)
    versions = Audit(Ledger(source)).versions()
    for name, data in versions.items():
        ledger.commit_again([ledger.put(f"{ROOT}/{name}", data)])

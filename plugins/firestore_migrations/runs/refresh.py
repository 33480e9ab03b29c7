"""Refresh: make the rehearsal database what its source is now. The source is only ever read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firestore_migrations.errors import ConfigurationError, Refused
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.admin import MINUTE, Admin, Operation
from firestore_migrations.firestore.connection import Address, Reader, Writer
from firestore_migrations.firestore.everything import is_empty, the_audit
from firestore_migrations.runs.audit import ROOT, Audit
from firestore_migrations.runs.copy import Commits, copy_documents
from firestore_migrations.runs.holder import PATH
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import Target

COPY, CLONE = "copy", "clone"
_OPERATION_SECONDS = 10.0
_ID_IS_FREE_IN = 900.0
"""Seconds after its deletion by which a database's id can surely be used again."""
_COPY = "copy.json"
"""In the storage of the rehearsal database: which database it is, and whose copy."""


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
        Refused: the target is no rehearsal database of this source, or holds data of its own; nothing was overwritten.
        LeaseHeld: a run works on the rehearsal database.
        ConfigurationError: Google refused the clone.
    """
    refuse_to_overwrite(source, target)
    _refuse_data_of_its_own(source, target)
    began = time.monotonic()
    how = target.policy.refresh or (CLONE if target.address.has_admin else COPY)
    documents = removed = 0
    if how == CLONE:
        _refuse_held(target, holder)
        _note(source, target)
        clone(source.address, target.address)
    with Reader(source.address) as reader, Writer(target.address) as writer:
        if how == CLONE:
            versions = Audit(Ledger(writer)).versions()
            _forget_audit(writer, but_lease=False)  # the lease is the one that the source had at that minute
        lease = Lease(Ledger(writer), holder)
        lease.acquire()
        try:
            with lease.kept():
                if how == COPY:
                    _note(source, target)
                    copied = copy_documents(reader, writer)
                    documents, removed = copied.documents, copied.removed
                    versions = Audit(Ledger(reader)).versions(copied.read_time)
                    _forget_audit(writer, but_lease=True)
                _take_over(versions, writer)
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


def _refuse_data_of_its_own(source: Target, target: Target) -> None:
    """Refuse a database that no refresh of ours has made, if there is something in it that could be missed.

    Which database was last made a copy of which, the storage remembers. On an emulator nothing is missed, but for what
    calls itself production.

    Raises:
        Refused: naming the database; nothing was overwritten.
    """
    if not target.address.has_admin:
        with Reader(target.address) as reader:
            ledger = Ledger(reader)
            runs = (f"{ROOT}/{version}/runs" for version in Audit(ledger).versions())
            if any(next(ledger.entries(path, environment="production"), None) for path in runs):
                raise _own_data(source, target, "runs against a production database are in its audit")
        return
    if target.folder.has(_COPY) and target.folder.read_json(_COPY) == _noted(source, target):
        return
    with Admin(target.address) as admin:
        if not admin.has_database():
            return
    with Reader(target.address) as reader:
        if not is_empty(reader):
            raise _own_data(source, target, "it has documents, and no rehearsal has put them there")


def _own_data(source: Target, target: Target, why: str) -> Refused:
    return Refused(
        f"{target.address.name}, where {target.name} leads to, may hold data of its own: {why}.",
        f"Look whether the connection names the right database. If it is meant to be the copy of {source.name}, delete "
        "the database, or empty it, and rehearse again.",
        target=target.name,
    )


def _note(source: Target, target: Target) -> None:
    """Remember, before anything is overwritten, that this database is the copy of that one."""
    target.folder.write_json(_COPY, _noted(source, target))


def _noted(source: Target, target: Target) -> dict[str, str]:
    return {"copy": target.address.name, "source": source.address.name}


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
        found = _under_way(admin)
        if found is None:
            if admin.has_database():
                _wait(admin, admin.delete_database().name, f"deleting {copy.name}", seconds)
            found = _started(admin, source, max(minute, -(-earliest // MINUTE) * MINUTE), seconds)
        _wait(admin, found.name, f"cloning {source.name} as {copy.name}", seconds)


def _under_way(admin: Admin) -> Operation | None:
    """The clone that somebody has begun and that goes on."""
    if not admin.has_database():
        return None
    under_way = (operation for operation in admin.list_operations() if not operation.is_done)
    return next((operation for operation in under_way if operation.kind == "CloneDatabaseMetadata"), None)


def _started(admin: Admin, source: Address, at: int, seconds: float) -> Operation:
    """Start the clone; the id of a database that was just deleted is not free for some minutes, which is waited for."""
    until = time.monotonic() + _ID_IS_FREE_IN
    while True:
        try:
            return admin.clone_database(source, at)
        except ConfigurationError as refusal:
            if "is not available" not in str(refusal) or time.monotonic() > until:
                raise
            time.sleep(seconds)


def _wait(admin: Admin, operation: str, doing: str, seconds: float) -> None:
    ended = admin.wait(operation, seconds=seconds)
    if ended.error:
        raise ConfigurationError(f"Google gave up {doing}: {ended.error}.", "Correct that, then clear `refresh`.")


def _refuse_held(target: Target, holder: str) -> None:
    """Refuse to delete a database that a run works on."""
    with Admin(target.address) as admin:
        if not admin.has_database() or _under_way(admin) is not None:
            return  # a database that is being cloned cannot be read, and nobody works on it
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


def _take_over(versions: Mapping[str, Mapping[str, Any]], writer: Writer) -> None:
    """Let every version stand in the copy as it stood in the source when the data was read."""
    ledger = Ledger(writer)
    for name, data in versions.items():
        ledger.commit_again([ledger.put(f"{ROOT}/{name}", data)])

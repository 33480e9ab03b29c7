"""The managed export of a run: Google's own copy of the database, beside our snapshot, where the target asks for one.

It is started once a run. The request may have arrived though its answer is lost, and a worker may die before it has
recorded what it started; so whoever comes next looks at the record, then among the database's operations for the run's
own prefix, and only then starts one.
"""

from __future__ import annotations

from urllib.parse import quote

from firestore_migrations.errors import ExportFailed
from firestore_migrations.firestore.admin import MINUTE, Admin, Operation
from firestore_migrations.firestore.connection import Writer
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.run import Run, instant
from firestore_migrations.runs.status import refuse_cancelled

_LOOK_SECONDS = 10.0


def begin_export(run: Run, read_time: int) -> str:
    """Start the run's export, unless it was; and record its address before anybody waits for it.

    Args:
        run: the run.
        read_time: of the run, in microseconds since 1970.

    Returns:
        The operation's name; empty where the run makes no export.

    Raises:
        ConfigurationError: Google refused it; the reason is in the message.
        Unavailable: the Admin API did not answer. Safe to call again.
    """
    if not run.target.policy.export_to or run.is_down or run.options.mode != APPLY:
        return ""
    with Writer(run.target.address) as writer:
        audit = Audit(Ledger(writer))
        data = audit.run(run) or {}
        if "export" in data:
            return str((data["export"] or {}).get("operation", ""))
        if not run.target.address.has_admin:
            audit.record(run, "backup", "no managed export: the emulator has none", export=None)
            return ""
        with Admin(run.target.address) as admin:
            uri = export_uri(run)
            operation, how = _found_or_started(run, admin, uri, read_time)
        audit.record(run, "backup", f"{how} to {uri}", export={"uri": uri, "operation": operation.name})
    return operation.name


def await_export(run: Run, name: str, seconds: float = _LOOK_SECONDS) -> str:
    """Wait until an export has ended. The run's lease is renewed meanwhile by whoever performs the phase.

    Args:
        run: the run.
        name: of the operation.
        seconds: between two looks.

    Returns:
        The prefix of its files.

    Raises:
        ExportFailed: it ended without a complete export; the reason is in the message.
        RunCancelled: somebody cancelled the run. The export itself goes on.
    """
    with Writer(run.target.address) as writer, Admin(run.target.address) as admin:
        audit = Audit(Ledger(writer))
        done = admin.wait(name, lambda _: refuse_cancelled(audit.run(run) or {}), seconds)
        uri = export_uri(run)
        if done.error:
            raise ExportFailed(
                f"The managed export of {run.version} to {uri} failed: {done.error}.",
                "Nothing was written. Mend that, then start a new run: this one keeps to the export that it began.",
                version=run.version,
                operation=name,
            )
        message = f"the managed export to {uri} is complete"
        if all(event["message"] != message for event in audit.events(run.version, run.id)):
            audit.record(run, "backup", message)
    return uri


def export_uri(run: Run) -> str:
    """Where a run's export goes: a prefix that no other run has, without characters that Cloud Storage minds."""
    name = quote(run.id, safe="")
    if not name.strip("."):
        name = name.replace(".", "%2E")
    return f"{run.target.policy.export_to.rstrip('/')}/{run.version}/{name}"


def _found_or_started(run: Run, admin: Admin, uri: str, read_time: int) -> tuple[Operation, str]:
    """The export to this prefix: one that is under way or ended, else a new one; and what to say of it."""
    for operation in admin.list_operations():
        if operation.uri == uri and operation.kind == "ExportDocumentsMetadata":
            return operation, "found the managed export that this run had started"
    at = read_time - read_time % MINUTE
    if at < admin.earliest_version_time():
        return admin.export_documents(uri, _collections(run)), "started a managed export, of no one instant,"
    started = admin.export_documents(uri, _collections(run), at)
    return started, f"started a managed export, as of {instant(at):%Y-%m-%d %H:%M} UTC,"


def _collections(run: Run) -> list[str]:
    """The collections of the scopes; none, which stands for all, where a script may write anything."""
    scopes = [step.scope for step in run.migration.steps]
    return sorted({scope.collection_id for scope in scopes if scope is not None}) if None not in scopes else []

"""Upgrade: every pending version of a target in order, up to a chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.errors import ChecksumChanged, OutOfOrder, Refused, UnknownVersion
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import DRY_RUN
from firestore_migrations.runs.overview import VersionStatus, overview
from firestore_migrations.runs.run import Target

_REFUSALS: dict[str, tuple[type[Refused], str, str]] = {
    status.OUT_OF_ORDER: (
        OutOfOrder,
        "is pending behind versions that are applied",
        "Roll those back, or give it the next free version; if its work is done, `firestore-migrations baseline {}`.",
    ),
    status.CHANGED: (
        ChecksumChanged,
        "was edited after it was applied",
        "Take the edit back and write a new version; or accept it with `firestore-migrations repair {}`.",
    ),
    status.MISSING: (
        UnknownVersion,
        "is applied, and its file is gone",
        "Restore the file, or accept that with `firestore-migrations repair {}`.",
    ),
}


def versions_to_run(target: Target, discovered: Discovered, to: str = "") -> tuple[str, ...]:
    """The pending versions up to and with `to`, in order. Writes nothing.

    Args:
        target: to upgrade.
        discovered: the folder of migrations.
        to: the last version to run; empty for all.

    Raises:
        UnknownVersion: there is no such version; or one is applied whose file is gone.
        OutOfOrder: a version is pending behind an applied one.
        ChecksumChanged: the file of an applied version was edited.
        AuthoringError: the file of one that would be run cannot be used.
    """
    if to and to not in discovered.versions:
        raise UnknownVersion(f"There is no {to} to upgrade to.", f"There are: {', '.join(discovered.versions)}.")
    with Reader(target.address) as reader:
        found = overview(Audit(Ledger(reader)), discovered, None)
    for version in found:
        _refuse(version, target)
    pending = [version.version for version in found if not version.is_done and _is_within(version.version, to)]
    for error in discovered.errors:
        if error.facts.get("version", "") in pending:
            raise error
    return tuple(pending)


def is_done(target: Target, version: str) -> bool:
    """Whether there is nothing left to run of a version."""
    with Reader(target.address) as reader:
        return Audit(Ledger(reader)).versions().get(version, {}).get("state") in status.DONE


def refuse_bad_end(target: Target, version: str, run_id: str, mode: str) -> dict[str, Any]:
    """What a run of an upgrade came to, by the audit.

    Raises:
        Refused: it did not end as it should; naming the version and the reason.
    """
    with Reader(target.address) as reader:
        found: Mapping[str, Any] = Audit(Ledger(reader)).runs(version).get(run_id, {})
    state, error = found.get("state", status.PENDING), found.get("error") or ""
    if state == (status.PLANNED if mode == DRY_RUN else status.VERIFIED) and not error:
        return {"version": version, "run": run_id, "state": state, "counts": found["counts"], "price": found["price"]}
    why = f": {str(error).rstrip('.')}" if error else ""
    raise Refused(
        f"{version} ended as {state} on {target.name}{why}. Later versions were not begun.",
        f"See `firestore-migrations history {version} --events`; then clear this task, or trigger the upgrade again.",
        version=version,
        run=run_id,
    )


def _refuse(version: VersionStatus, target: Target) -> None:
    if version.state in _REFUSALS:
        kind, what, remedy = _REFUSALS[version.state]
        raise kind(
            f"{version.version} {what} on {target.name}; nothing was begun.",
            remedy.format(version.version),
            version=version.version,
        )


def _is_within(version: str, to: str) -> bool:
    return not to or int(version[1:]) <= int(to[1:])

"""The overview: where every version stands on one target, by its file and by the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.runs import lease, status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.run import instant


@dataclass(frozen=True)
class VersionStatus:
    """Where one version stands.

    Attributes:
        version: like `v001`.
        name: like `add_user_stats`.
        description: of the file; of the audit where the file is gone.
        state: as the audit has it, or `changed`, `missing`, `out_of_order` by what the file tells besides.
        rollout_percent: how much of the scope is migrated.
        run: the run that the state comes from; None before there was one.
        updated_at: when it was reached.
        checksum: of the file; None where it is gone or cannot be used.
    """

    version: str
    name: str
    description: str
    state: str
    rollout_percent: float = 0
    run: str | None = None
    updated_at: datetime | None = None
    checksum: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do about it."""
        return self.state in status.DONE


@dataclass(frozen=True)
class Holder:
    """Who has the right to write to a target.

    Attributes:
        run: like `v001/manual__2026-01-01`.
        expires_at: when, unless it is renewed.
        fence: the lease's number.
    """

    run: str
    expires_at: datetime
    fence: int


def overview(audit: Audit, discovered: Discovered) -> tuple[VersionStatus, ...]:
    """Every version that has a file or has touched the target, in order.

    A version without a file that has written nothing is left out.
    """
    records = audit.versions()
    names = {*discovered.versions, *(name for name, record in records.items() if record["state"] not in _UNTOUCHED)}
    touched = [_number(name) for name, record in records.items() if record["state"] in status.TOUCHED]
    last = max(touched, default=0)
    return tuple(_status(name, records.get(name), discovered, last) for name in sorted(names, key=_number))


def holder(ledger: Ledger) -> Holder | None:
    """The run that holds the target's lease, if one does."""
    (entry,), now = ledger.get(lease.PATH)
    if entry is None or not entry.data["holder"] or entry.data["expires_at"] <= instant(now):
        return None
    return Holder(entry.data["holder"], entry.data["expires_at"], entry.data["fence"])


_UNTOUCHED = frozenset({status.PENDING, status.PLANNED, status.AWAITING_APPROVAL, status.REJECTED})


def _status(version: str, record: dict[str, Any] | None, discovered: Discovered, last_touched: int) -> VersionStatus:
    migration = next((found for found in discovered.migrations if found.version == version), None)
    data: dict[str, Any] = {"state": status.PENDING, "rollout_percent": 0, **(record or {})}
    state = data["state"]
    if state in status.TOUCHED:
        if version not in discovered.versions:
            state = status.MISSING
        elif migration is not None and migration.checksum != data["checksum"]:
            state = status.CHANGED
    elif version in discovered.versions and _number(version) < last_touched:
        state = status.OUT_OF_ORDER
    return VersionStatus(
        version=version,
        name=migration.name if migration else data.get("name") or _name_of_broken(version, discovered),
        description=migration.description if migration else data.get("description", ""),
        state=state,
        rollout_percent=data["rollout_percent"],
        run=data.get("run"),
        updated_at=data.get("updated_at"),
        checksum=None if migration is None else migration.checksum,
    )


def _name_of_broken(version: str, discovered: Discovered) -> str:
    """The name of a version whose file cannot be used, by the file's name."""
    files = [Path(error.facts["file"]) for error in discovered.errors if error.facts.get("version") == version]
    return files[0].stem.partition("_")[2] if files else ""


def _number(version: str) -> int:
    return int(version[1:])

"""The overview: where every version stands on one target, by its file and by the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from firestore_migrations.authoring.discovery import Discovered
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.holder import Holder
from firestore_migrations.runs.windows import coverage


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
        windows: of a version that is backfilled: the intervals that are `done`, `missing` and `overlapping`, each with
            `from` and `to`; None where there are none.
        remark: what the state alone does not tell; empty where it tells all.
    """

    version: str
    name: str
    description: str
    state: str
    rollout_percent: float = 0
    run: str | None = None
    updated_at: datetime | None = None
    checksum: str | None = None
    windows: dict[str, list[dict[str, datetime]]] | None = None
    remark: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do about it."""
        return self.state in status.DONE


def overview(audit: Audit, discovered: Discovered, held: Holder | None) -> tuple[VersionStatus, ...]:
    """Every version that has a file or has touched the target, in order.

    A version without a file that has written nothing is left out.

    Args:
        audit: of the target.
        discovered: the files.
        held: who holds the target.
    """
    records = audit.versions()
    names = {*discovered.versions, *(name for name, record in records.items() if record["state"] not in _UNTOUCHED)}
    touched = [_number(name) for name, record in records.items() if record["state"] in status.TOUCHED]
    last = max(touched, default=0)
    return tuple(_status(name, records.get(name), discovered, last, held) for name in sorted(names, key=_number))


_AT_WORK = frozenset({status.APPLYING, status.ROLLING_BACK})
_UNTOUCHED = frozenset({status.PENDING, status.PLANNED, status.AWAITING_APPROVAL, status.REJECTED})


def _status(
    version: str, record: dict[str, Any] | None, discovered: Discovered, last_touched: int, held: Holder | None
) -> VersionStatus:
    migration = next((found for found in discovered.migrations if found.version == version), None)
    data: dict[str, Any] = {"state": status.PENDING, "rollout_percent": 0, **(record or {})}
    state = data["state"]
    if state in status.TOUCHED:
        if version not in discovered.versions:
            state = state if data.get("file_removed") else status.MISSING
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
        windows=_windows(data),
        remark=_remark(version, data, held, is_gone=version not in discovered.versions),
    )


def _windows(data: dict[str, Any]) -> dict[str, list[dict[str, datetime]]] | None:
    entries = data.get("windows")
    return coverage(entries, is_swept=data["rollout_percent"] >= 100).as_dict() if entries else None


def _remark(version: str, data: dict[str, Any], held: Holder | None, *, is_gone: bool) -> str:
    """Whether somebody works on a version that says so, and what became of its file where that was accepted."""
    is_held = held is not None and held.run == f"{version}/{data.get('run')}"
    if data["state"] in _AT_WORK and not is_held:
        return (
            f"nobody works on it: its lease ran out or was taken away; clear the failed task of its run, "
            f"or end it with `firestore-migrations cancel {version}`"
        )
    return "its file is gone, which was accepted" if is_gone and data.get("file_removed") else ""


def _name_of_broken(version: str, discovered: Discovered) -> str:
    """The name of a version whose file cannot be used, by the file's name."""
    files = [Path(error.facts["file"]) for error in discovered.errors if error.facts.get("version") == version]
    return files[0].stem.partition("_")[2] if files else ""


def _number(version: str) -> int:
    return int(version[1:])

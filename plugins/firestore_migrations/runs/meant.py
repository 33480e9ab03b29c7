"""Which run is meant where nobody names one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from firestore_migrations.errors import Refused
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import RunName, look
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.holder import PATH
from firestore_migrations.runs.ledger import Ledger


def find_run(ledger: Ledger, wanted: frozenset[str], version: str | None = None) -> RunName:
    """The run that holds the target, if it is in a wanted state; else the newest one that is.

    Args:
        ledger: of the target.
        wanted: states.
        version: only runs of this version; where none is in a wanted state, its newest one.

    Raises:
        Refused: there is no such run, or there are several.
    """
    runs = dict(_runs(ledger, version))
    fitting = [name for name, data in runs.items() if data["state"] in wanted and _goes_on(data)]
    versions = sorted({name.version for name in fitting})
    if len(versions) > 1:
        raise Refused("Several runs are meant.", f"Say which version: {', '.join(versions)}.", runs=tuple(fitting))
    for name in (*fitting, *runs):
        return name
    raise Refused(
        f"No run{f' of {version}' if version else ''} is at work or paused here.",
        f"Look with `firestore-migrations {f'history {version}' if version else 'status'}`.",
    )


def _goes_on(data: dict[str, Any]) -> bool:
    return data["finished_at"] is None or data["state"] == status.PAUSED


def _runs(ledger: Ledger, version: str | None) -> Iterator[tuple[RunName, dict[str, Any]]]:
    """The runs that may be meant: the lease's holder first, then the newest of versions that are being written."""
    audit = Audit(ledger)
    (lease,), _ = ledger.get(PATH)
    holder = RunName.of(lease.data["holder"]) if lease is not None else RunName("", "")
    seen = look(ledger, holder) if holder.run_id and version in (None, holder.version) else None
    if seen is not None:
        yield holder, seen.run.data
    writing = (name for name, record in audit.versions().items() if record["state"] in status.WRITING)
    for name in writing if version is None else (version,):
        for run_id, data in reversed(audit.runs(name).items()):
            yield RunName(name, run_id), data

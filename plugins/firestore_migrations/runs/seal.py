"""seal: a run that stopped half way, and that is to be taken back, commits nothing more.

A commit whose sender is long dead may still be on its way. It would bring back a part of what is being taken back. So
every batch of the run that has no record yet is given one, without rows: no commit of it can be carried out any more.
"""

from __future__ import annotations

from collections.abc import Iterator

from firestore_migrations.runs import status
from firestore_migrations.runs.audit import Audit, BatchRecord
from firestore_migrations.runs.committed import Part, batches_of, leaves, parts_of
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.plan import NO_ROWS
from firestore_migrations.runs.run import Run

_AT_ONCE = 400
_ALL_SENT = frozenset({status.APPLIED, status.VERIFIED, status.ROLLED_BACK})


def seal(run: Run, audit: Audit, ledger: Ledger, run_ids: tuple[str, ...]) -> None:
    """Let these runs of the version commit nothing more. Safe to repeat; costs nothing for a run that was finished.

    Args:
        run: that takes them back.
        audit: of the target.
        ledger: of the target.
        run_ids: the runs.

    Raises:
        StorageError: a plan is gone or altered.
    """
    runs = audit.runs(run.version)
    for run_id in run_ids:
        if runs[run_id]["state"] in _ALL_SENT:
            continue
        path = f"{run.path.rpartition('/')[0]}/{run_id}/batches"
        while records := list(_unsent(run, audit, run_id, runs[run_id].get("residue", [])))[:_AT_ONCE]:
            writes = [ledger.create(f"{path}/{record.rows}", record.written()) for record in records]
            try:
                ledger.commit(writes, proof=f"{path}/{records[0].rows}")
            except Conflict:
                continue  # one of them has just arrived; look again


def _unsent(run: Run, audit: Audit, run_id: str, residue: list[dict[str, int | str]]) -> Iterator[BatchRecord]:
    """A record without rows for each batch that has none."""
    folder = run.of(run_id)
    records = {record.rows: record for record in audit.batches(run.version, run_id)}
    planned = parts_of(folder)
    parts = [*planned, *(Part(str(place["plan"]), len(planned), int(place["first_row"])) for place in residue)]
    for part in parts:
        plan, first_row = (part.name, part.first_row) if part.is_residue else ("", 0)
        for whole in batches_of(folder, part):
            for batch, record in leaves(whole, records):
                if record is None:
                    yield BatchRecord(
                        batch.rows, part.shard, drift=NO_ROWS, plan=plan, first_row=first_row, sealed_by=run.id
                    )

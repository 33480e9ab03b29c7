"""seal: a run that stopped half way commits nothing more once another run goes on from there.

A commit whose sender is long dead may still be on its way. It would write what nobody expects any more: beside a newer
plan, or over what was taken back. So every batch of such a run that has no record yet is given one, without rows: no
commit of it can be carried out any more. What the run has written stands, and can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from firestore_migrations.errors import StorageError
from firestore_migrations.runs import status
from firestore_migrations.runs.amend import Event, RunName, amendment, look
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.committed import Part, batches_of, leaves, parts_of
from firestore_migrations.runs.ledger import Conflict, Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.plan import NO_ROWS
from firestore_migrations.runs.run import Run
from firestore_migrations.runs.windows import Window

_AT_ONCE = 400
_ALL_SENT = frozenset({status.APPLIED, status.VERIFIED, status.ROLLED_BACK})


def seal_the_unfinished(run: Run, audit: Audit, ledger: Ledger) -> None:
    """Let the earlier runs of this version commit nothing more. Safe to repeat; costs nothing for those that finished.

    A run of another window goes on beside this one: no document is in both.
    A run whose plan is gone has none that a worker could go on with. A redrive leaves the run alone whose failures it
    takes up: that may go on.

    Args:
        run: that goes on.
        audit: of the target.
        ledger: of the target.
    """
    for run_id, data in audit.runs(run.version).items():
        is_redrive = not data.get("rollout_percent")
        if (
            run_id == run.id
            or data["mode"] != APPLY
            or data.get("sealed_by")
            or (run.options.redrive and not is_redrive)
            or _is_apart(run, data)
        ):
            continue
        is_sent = data["state"] in _ALL_SENT
        with suppress(StorageError):
            _seal(run, audit, ledger, run_id, data.get("residue", []), is_sent=is_sent)
            if not is_sent:
                _record_sealed(run, ledger, RunName(run.version, run_id))


def _is_apart(run: Run, data: Mapping[str, Any]) -> bool:
    """Whether both runs have windows, and no instant is in both."""
    other = data.get("window")
    return run.window is not None and other is not None and not run.window.meets(Window.recorded(other))


def _record_sealed(run: Run, ledger: Ledger, name: RunName) -> None:
    message = f"{run.id} goes on from here; this run commits nothing more"
    while (seen := look(ledger, name)) is not None and not seen.run.data.get("sealed_by"):
        event = Event("preflight", message, run.triggered_by)
        with suppress(Conflict):
            ledger.commit(*amendment(ledger, seen, event, changes={"sealed_by": run.id}))


def _seal(  # noqa: PLR0913 -- which run, by which, and what of it
    run: Run, audit: Audit, ledger: Ledger, run_id: str, residue: list[dict[str, int | str]], *, is_sent: bool
) -> None:
    path = f"{RunName(run.version, run_id).path}/batches"
    while records := list(_unsent(run, audit, run_id, residue, is_sent=is_sent))[:_AT_ONCE]:
        writes = [ledger.create(f"{path}/{record.rows}", record.written()) for record in records]
        with suppress(Conflict):  # one of them has just arrived; look again
            ledger.commit(writes, proof=f"{path}/{records[0].rows}")


def _unsent(
    run: Run, audit: Audit, run_id: str, residue: list[dict[str, int | str]], *, is_sent: bool
) -> Iterator[BatchRecord]:
    """A record without rows for each batch that has none; of a run that was verified, only residue may have none."""
    folder = run.of(run_id)
    records = {record.rows: record for record in audit.batches(run.version, run_id)}
    planned = parts_of(folder) if residue or not is_sent else []
    parts = [
        *(() if is_sent else planned),
        *(Part(str(place["plan"]), len(planned), int(place["first_row"])) for place in residue),
    ]
    for part in parts:
        for whole in batches_of(folder, part):
            for batch, record in leaves(whole, records):
                if record is None:
                    yield part.record(batch.rows, drift=NO_ROWS, sealed_by=run.id)

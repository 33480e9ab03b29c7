"""finish: whatever happened, the audit says how the run ended, and the lease is free."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from firestore_migrations.firestore.connection import Writer
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import NO_COUNTS, Audit, BatchRecord
from firestore_migrations.runs.committed import operations
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.preflight import find_course
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.rollback import CONFLICT
from firestore_migrations.runs.run import DRY_RUN, Run, instant
from firestore_migrations.runs.snapshot import find_snapshot

_UNFINISHED = frozenset({status.PENDING, status.APPLYING, status.ROLLING_BACK, status.APPLIED})


def finish(run: Run) -> dict[str, Any]:
    """Record the final state, counts and price, and release the lease. Safe to run again.

    Returns:
        state, counts, reads, writes, deletes, price and the run's document.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        audit = Audit(ledger)
        data = audit.run(run)
        if data is None:
            Lease(ledger, run.holder).release()
            return {"state": status.PENDING, "counts": NO_COUNTS, "reads": 0, "writes": 0, "deletes": 0, "price": 0.0}
        records = audit.batches(run.version, run.id)
        counts = _counts(run, audit, records)
        usage = _usage(run, counts, records)
        state = _final(run, data["state"])
        totals = {"counts": counts, **asdict(usage), "price": run.prices.of(usage)}
        _, now = ledger.get("_migrations/_lease")
        changes: dict[str, Any] = {**totals, "finished_at": instant(now)}
        if state == status.FAILED and not data["error"]:
            changes["error"] = f"the run ended while it was {data['state']}; clear the failed task to go on"
        audit.record(run, "finish", f"the run ended as {state}", state, **changes)
        Lease(ledger, run.holder).release()
    return {"state": state, **totals}


def _final(run: Run, state: str) -> str:
    """A state that work was going on in, with no work left, is a failure."""
    if state in _UNFINISHED or (state == status.PLANNED and run.options.mode != DRY_RUN):
        return status.FAILED
    return state


def _counts(run: Run, audit: Audit, records: list[BatchRecord]) -> dict[str, int]:
    """What was scanned and planned, and of that what was really written."""
    if not run.folder.has("review.json"):
        return NO_COUNTS
    planned: dict[str, int] = run.folder.read_json("review.json")["counts"]
    failures = audit.failures(run)
    conflicts = sum(failure["error"].startswith(CONFLICT) for failure in failures)
    counts = {**planned, "conflicts": conflicts, "failed": len(failures) - conflicts}
    if run.options.mode == DRY_RUN:
        return counts
    written = operations(run.folder, records)
    return {
        **counts,
        **{operation: written[operation] for operation in ("created", "updated", "deleted")},
        "drifted": sum(record.drifted for record in records),
    }


def _usage(run: Run, counts: dict[str, int], records: list[BatchRecord]) -> Usage:
    """Reads as the tasks counted them, writes and deletes as they were committed."""
    course = find_course(run)
    folder = run.folder
    reads = 0
    for shard in () if course is None else course.shards:
        snapshot = find_snapshot(folder / "snapshot" / f"{shard.index:04d}")
        reads += 0 if snapshot is None else snapshot.documents
        for name in (f"plan/{shard.index:04d}/plan.json", f"apply-{shard.index:04d}.json"):
            parent, _, file = name.rpartition("/")
            place = folder / parent if parent else folder
            reads += place.read_json(file)["reads"] if place.has(file) else 0
    reads += folder.read_json("verify.json")["reads"] if folder.has("verify.json") else 0
    if not records:
        return Usage(reads=reads)
    return Usage(reads, counts["created"] + counts["updated"] + len(records), counts["deleted"])

"""finish: whatever happened, the audit says how the run ended, and the lease is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from firestore_migrations.errors import StorageError
from firestore_migrations.firestore.connection import Writer
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import NO_COUNTS, UNCHANGED, Audit
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.budget import reads_before_writing, reads_of_verifying
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import DRY_RUN
from firestore_migrations.runs.plan import find_plan
from firestore_migrations.runs.preflight import find_course
from firestore_migrations.runs.price import Usage
from firestore_migrations.runs.run import Run, instant

_TOTALS = ("counts", "reads", "writes", "deletes", "price")
_UNFINISHED = frozenset(
    {status.PENDING, status.AWAITING_APPROVAL, status.APPLYING, status.ROLLING_BACK, status.APPLIED}
)

_COUNTED = ("scanned", "created", "updated", "deleted", "unchanged", "drifted")


def finish(run: Run) -> dict[str, Any]:
    """Record the final state, counts and price, and release the lease. Safe to run again.

    Returns:
        state, plan_digest, the collections that were written, counts, reads, writes, deletes and price.
    """
    with Writer(run.target.address) as writer:
        ledger = Ledger(writer)
        audit = Audit(ledger)
        data = audit.run(run)
        if data is None:
            Lease(ledger, run.holder).release()
            nothing: dict[str, Any] = {"plan_digest": None, "collections": [], "counts": NO_COUNTS}
            return {"state": status.PENDING, **nothing, "reads": 0, "writes": 0, "deletes": 0, "price": 0.0}
        state = _final(run, data["state"])
        message = f"the run ended as {state}"
        try:
            totals = _totals(run, audit, data)
        except StorageError as error:  # what it came to can then not be told, but the target must not stay held
            totals = {name: data[name] for name in _TOTALS}
            message += f"; what it came to is unknown: {error}"
        _, now = ledger.get("_migrations/_lease")
        changes: dict[str, Any] = {**totals, "finished_at": instant(now)}
        if state == status.FAILED and not data["error"]:
            changes["error"] = f"the run ended while it was {data['state']}; clear the failed task to go on"
        audit.record(run, "finish", message, state, **changes)
        Lease(ledger, run.holder).release()
    return {"state": state, "plan_digest": data["plan_digest"], "collections": _written(run, totals), **totals}


def _written(run: Run, totals: Mapping[str, Any]) -> list[str]:
    """The collections that a run has written, ids of documents on the way replaced by `*`."""
    course = find_course(run.folder)
    if course is None or not totals["writes"]:
        return []
    plans = (find_plan(run.folder / "plan" / f"{shard.index:04d}") for shard in course.shards)
    return sorted({name for plan in plans if plan is not None for name in plan.collections})


def _totals(run: Run, audit: Audit, data: Mapping[str, Any]) -> dict[str, Any]:
    records = audit.batches(run.version, run.id)
    counts = _counts(run, audit, records)
    usage = _usage(run, counts, records)
    seconds = _seconds_of_writing(data, records)
    return {"counts": counts, **asdict(usage), "price": run.prices.of(usage), "seconds": seconds}


def _seconds_of_writing(data: Mapping[str, Any], records: list[BatchRecord]) -> float:
    """From when the run began to write until its last commit, by the server's clock."""
    times = [instant(record.commit_time) for record in records if record.writes]
    if not times:
        return 0.0
    began = min(times) if data.get("writing_since") is None else min(*times, data["writing_since"])
    return round((max(times) - began).total_seconds(), 3)


def _final(run: Run, state: str) -> str:
    """A state that work was going on in, with no work left, is a failure."""
    if state in _UNFINISHED or (state == status.PLANNED and run.options.mode != DRY_RUN):
        return status.FAILED
    return state


def _counts(run: Run, audit: Audit, records: list[BatchRecord]) -> dict[str, int]:
    """What became of every document that was planned.

    Where all batches are committed, each scanned document led to a write, or is unchanged, in conflict or failed.
    """
    if not run.folder.has("review.json"):
        return NO_COUNTS
    planned: dict[str, int] = run.folder.read_json("review.json")["counts"]
    failures = audit.failures(run)
    conflicts = sum(failure.is_conflict for failure in failures)
    counts = {**planned, "conflicts": conflicts, "failed": len(failures) - conflicts}
    if run.options.mode == DRY_RUN:
        return counts
    total = {name: sum(getattr(record, name) for record in records) for name in _COUNTED}
    total["scanned"] += planned["scanned"] + audit.count_failures(run, "task", "verify")
    total["unchanged"] += planned["unchanged"] + audit.count_failures(run, "outcome", UNCHANGED)
    return {**counts, **total}


def _usage(run: Run, counts: dict[str, int], records: list[BatchRecord]) -> Usage:
    """Reads as they were counted, writes and deletes as they were committed."""
    reads = reads_before_writing(run.folder) + sum(record.reads for record in records) + reads_of_verifying(run.folder)
    if not records:
        return Usage(reads=reads)
    writes = counts["created"] + counts["updated"] + len(records) + sum(record.pins for record in records)
    return Usage(reads, writes, counts["deleted"])

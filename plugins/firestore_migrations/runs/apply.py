"""apply: sends the plan, batch by batch, each as one atomic commit with its audit record in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from firestore_migrations.errors import ConfigurationError, IllegalTransition, TooManyFailures, Unavailable
from firestore_migrations.firestore.connection import Reader, Writer
from firestore_migrations.runs import status
from firestore_migrations.runs.approval import has_begun, refuse_unapproved
from firestore_migrations.runs.audit import NO_COUNTS, Audit
from firestore_migrations.runs.budget import Budget
from firestore_migrations.runs.commit import Applied, Committer
from firestore_migrations.runs.committed import Part, batches_of, joined_digest, leaves, parts_of, plan_of
from firestore_migrations.runs.control import refuse_to_write
from firestore_migrations.runs.gates import check_gates, refuse_what_is_overtaken
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from firestore_migrations.runs.options import APPLY
from firestore_migrations.runs.pace import Pace
from firestore_migrations.runs.plan import Batch
from firestore_migrations.runs.pressure import FLIGHTS, Pressure
from firestore_migrations.runs.run import Run

_LOG = logging.getLogger(__name__)


def apply(run: Run, shard: int) -> dict[str, Any]:
    """Send one shard's plan. Safe to run again at any point: committed batches are not sent a second time.

    Returns:
        shard, batches, writes, drifted, conflicts, failed and reads.

    Raises:
        IllegalTransition: the plan is not the reviewed one, or the run may not write; nothing was sent.
        NotRehearsed: the file that it was planned from was not rehearsed; nothing was sent.
        LeaseHeld: another run has taken the target over; nothing more was sent.
        RunPaused: somebody paused the run; or RunCancelled: cancelled it.
        TooManyFailures: more documents failed than are tolerated; the run can be resumed.
        OverBudget: the run has cost what it may; it can be resumed with a higher budget.
        Unavailable: the server does not answer; the run can be resumed.
    """
    part = next((part for part in parts_of(run.folder) if part.name == f"plan/{shard:04d}"), None)
    if part is None:
        raise ConfigurationError(f"The plan of run {run.id} was not reviewed.", "Clear the task `review`.")
    with Writer(run.target.address) as writer, Reader(run.target.address) as reader:
        audit = Audit(Ledger(writer))
        _refuse_another_plan(run, audit, part)
        applied = Applier(run, writer, reader).send(part)
    return {"shard": shard, **asdict(applied)}


def _refuse_another_plan(run: Run, audit: Audit, part: Part) -> None:
    """What was reviewed is what is written: refuse a plan that the review refused, or that was made after it."""
    reviewed = (audit.run(run) or {}).get("plan_digest")
    digests = run.folder.read_json("review.json")["digests"]
    is_reviewed = joined_digest(digests) == reviewed and plan_of(run.folder, part).digest == digests[part.shard]
    if run.options.mode != APPLY or not is_reviewed:
        raise IllegalTransition(
            f"Run {run.id} has no reviewed plan that may be applied: it is a dry run, its review did not pass, "
            "or it was planned again afterwards.",
            "Clear the task `review`, or trigger a new run in mode apply.",
            run=run.id,
        )


class Applier:
    """Sends the plans of one run. Holds the lease as long as it sends.

    Args:
        run: whose plans.
        writer: the connection that commits.
        reader: the one that reads documents again.
    """

    def __init__(self, run: Run, writer: Writer, reader: Reader) -> None:
        self._run = run
        self._writer = writer
        self._reader = reader
        self._ledger = Ledger(writer)
        self._audit = Audit(self._ledger)
        self._lease = Lease(self._ledger, run.holder, run.path)
        self._pressure = Pressure(run.options.rows_per_batch)
        self._reason = ""

    def send(self, part: Part) -> Applied:
        """Send the batches of one plan that are not committed yet, a few at a time."""
        run = self._run
        data = self._begin(part)
        pace = Pace(self._ledger, run.path, part.shard, run.writes_per_second)
        pace.begin(writing_for=self._audit.seconds_of_writing(run))

        budget = Budget(run, self._ledger, data)

        def hold_back(operations: int) -> None:
            budget.refuse_to_spend(operations)
            waited = pace.wait(operations, self._lease.permit)
            run.pulse.batch_size = self._pressure.rows
            run.pulse.waiting = self._pressure.reason or waited
            self._tell(part, run.pulse.waiting)

        permit = self._lease.permit
        committer = Committer(run, part, self._writer, self._reader, self._audit, permit, hold_back, self._pressure)
        total = Applied()
        allowed = run.options.allowed_failures(data["counts"]["scanned"])
        failed = sum(not failure.is_conflict for failure in self._audit.failures(run))
        try:
            for applied in self._in_flight(part, committer):
                total += applied
                run.pulse.add(applied.writes)
                failed += applied.failed
                if failed > allowed and (applied.failed or not part.is_residue):
                    raise self._too_many(failed)
        finally:
            with suppress(Unavailable):
                pace.end()
        return total

    def _begin(self, part: Part) -> dict[str, Any]:
        """Take the lease and record that the run is writing; return what the audit has of the run."""
        run = self._run
        data = self._audit.run(run) or {"state": status.PENDING, "counts": NO_COUNTS}
        refuse_to_write(data)
        # A run that gave the target back while a person decided waits for its turn, and does not fail.
        self._lease.acquire(waits=run.waits or run.target.policy.approval)
        refuse_what_is_overtaken(run, self._audit)  # while the lease is ours, nobody overtakes it
        refuse_unapproved(run, self._ledger, part)
        if not part.is_residue and not has_begun(data, run, self._audit):
            check_gates(run, self._audit)  # the target was free since preflight, and the file may be another one
        state = status.ROLLING_BACK if run.is_down else status.APPLYING
        if data["state"] not in (state, status.APPLIED, status.VERIFIED, status.ROLLED_BACK):
            self._audit.record_writing(run, state)
        return data

    def _in_flight(self, part: Part, committer: Committer) -> Iterator[Applied]:
        """Send batches on a few threads, and yield what became of them as they finish."""
        with ThreadPoolExecutor(FLIGHTS) as threads:
            flying: set[Future[Applied]] = set()
            for batch in self._remaining(part):
                if isinstance(batch, Applied):
                    yield batch
                    continue
                while len(flying) >= self._pressure.flights:
                    done, flying = wait(flying, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                flying.add(threads.submit(committer.commit, batch))
            yield from (future.result() for future in flying)

    def _remaining(self, part: Part) -> Iterator[Batch | Applied]:
        """The batches that are to be sent, and what was sent of others before."""
        run = self._run
        rows = range(part.first_row, part.first_row + plan_of(run.folder, part).rows)
        records = {record.rows: record for record in self._audit.batches(run.version, run.id, rows)}
        for planned in batches_of(run.folder, part):
            for batch, record in leaves(planned, records):
                yield batch if record is None else Applied.of(record)

    def _tell(self, part: Part, reason: str) -> None:
        """Say in the log and in the audit why the worker waits, whenever that changes."""
        if reason and reason != self._reason:
            message = f"shard {part.shard} waits: {reason}"
            _LOG.info(message)
            self._audit.record(self._run, "apply", message)
        self._reason = reason

    def _too_many(self, failed: int) -> TooManyFailures:
        run = self._run
        return TooManyFailures(
            f"{failed} documents of {run.version} cannot be written, more than max_failures="
            f"{run.options.max_failures}; they are listed in {run.path}/failures.",
            "Mend the migration or raise max_failures, then clear `apply`: it goes on where it stopped.",
            failed=failed,
        )

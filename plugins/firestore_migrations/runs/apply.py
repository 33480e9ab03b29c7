"""apply: sends the plan, batch by batch, each as one atomic commit with its audit record in it.

Whether a commit arrived is never guessed. Its record is created in the same commit and must not exist before, so a
batch whose answer was lost is asked for by its record, and a batch that two workers send is written by one of them.

A commit is refused as a whole when one of its documents moved since it was planned. Those documents are planned again
from what they are now, that state is kept in storage as their before-image, and the batch is sent with the new writes.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from firestore_migrations.errors import (
    CommitError,
    ConfigurationError,
    IllegalTransition,
    TooManyFailures,
    Unavailable,
)
from firestore_migrations.firestore.connection import Reader, Writer, is_transient
from firestore_migrations.firestore.ramp import Ramp
from firestore_migrations.runs import status
from firestore_migrations.runs.audit import NO_COUNTS, Audit, BatchRecord
from firestore_migrations.runs.committed import Part, batches_of, joined_digest, parts_of, plan_of
from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import MOVED, Ledger
from firestore_migrations.runs.plan import Batch, write_rows
from firestore_migrations.runs.preflight import refuse_what_is_overtaken
from firestore_migrations.runs.replan import Content, Replanner
from firestore_migrations.runs.rollback import CONFLICT
from firestore_migrations.runs.run import APPLY, Run

_IN_FLIGHT = 3
_MOST_MOVES = 5
_MOST_ATTEMPTS = 30


@dataclass(frozen=True)
class Applied:
    """What sending batches came to.

    Attributes:
        batches: committed, by this call or an earlier one.
        writes: in them.
        drifted: rows that were planned again.
        conflicts: rows that kept moving, or that nothing can plan again.
        failed: rows that cannot be written.
        reads: documents read for that.
    """

    batches: int = 0
    writes: int = 0
    drifted: int = 0
    conflicts: int = 0
    failed: int = 0
    reads: int = 0

    def __add__(self, other: Applied) -> Applied:
        return Applied(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def apply(run: Run, shard: int) -> dict[str, Any]:
    """Send one shard's plan. Safe to run again at any point: committed batches are not sent a second time.

    Returns:
        shard, batches, writes, drifted, conflicts, failed and reads.

    Raises:
        IllegalTransition: the plan is not the reviewed one, or the run may not write; nothing was sent.
        LeaseHeld: another run has taken the target over; nothing more was sent.
        TooManyFailures: more documents failed than are tolerated; the run can be resumed.
        Unavailable: the server does not answer; the run can be resumed.
    """
    part = next((part for part in parts_of(run.folder) if part.name == f"plan/{shard:04d}"), None)
    if part is None:
        raise ConfigurationError(f"The plan of run {run.id} was not reviewed.", "Clear the task `review`.")
    with Writer(run.target.address) as writer, Reader(run.target.address) as reader:
        audit = Audit(Ledger(writer))
        refuse_what_is_overtaken(run, audit)
        _refuse_another_plan(run, audit, part)
        applier = Applier(run, writer, reader)
        applier.begin()
        applied = applier.send(part)
    run.folder.write_json(f"apply-{shard:04d}.json", asdict(applied))
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
        ledger = Ledger(writer)
        self._audit = Audit(ledger)
        self._lease = Lease(ledger, run.holder)
        self._replanner = Replanner(run, reader)
        self._ramp = Ramp(0)

    def begin(self) -> None:
        """Take the lease and record that the run is writing."""
        run = self._run
        self._lease.acquire()
        state = status.ROLLING_BACK if run.is_down else status.APPLYING
        data = self._audit.run(run) or {"state": status.PENDING}
        if data["state"] not in (state, status.APPLIED, status.VERIFIED, status.ROLLED_BACK):
            self._audit.record(run, "apply", "began to write", state, error=None)
        limit = run.options.max_writes_per_second
        if limit is None:
            limit = run.target.writes_per_second
        shards = sum(part.name.startswith("plan/") for part in parts_of(run.folder))
        self._ramp = Ramp(limit, 1 / max(1, shards), started=time.time())

    def send(self, part: Part) -> Applied:
        """Send the batches of one plan that are not committed yet, a few at a time."""
        run = self._run
        records = {record.rows: record for record in self._audit.batches(run.version, run.id)}
        total = Applied()
        allowed = run.options.allowed_failures((self._audit.run(run) or {"counts": NO_COUNTS})["counts"]["scanned"])
        failed = sum(not failure["error"].startswith(CONFLICT) for failure in self._audit.failures(run))

        def unsent() -> Iterator[Batch]:
            nonlocal total
            for batch in batches_of(run.folder, part):
                record = records.get(batch.rows)
                if record is None:
                    yield batch
                else:
                    total += Applied(1, record.writes, record.drifted)

        for applied in self._in_flight(part.shard, unsent()):
            total += applied
            failed += applied.failed
            if failed > allowed:
                raise TooManyFailures(
                    f"{failed} documents of {run.version} cannot be written, more than max_failures="
                    f"{run.options.max_failures}; they are listed in {run.path}/failures.",
                    "Mend the migration or raise max_failures, then clear `apply`: it goes on where it stopped.",
                    failed=failed,
                )
        return total

    def _in_flight(self, shard: int, batches: Iterable[Batch]) -> Iterator[Applied]:
        """Send batches on a few threads, and yield what became of them as they finish."""
        with ThreadPoolExecutor(_IN_FLIGHT) as threads:
            flying: set[Future[Applied]] = set()
            for batch in batches:
                if len(flying) == _IN_FLIGHT:
                    done, flying = wait(flying, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                flying.add(threads.submit(self._send_batch, shard, batch))
            yield from (future.result() for future in flying)

    def _send_batch(self, shard: int, batch: Batch) -> Applied:
        """Send one batch until it is known to be committed."""
        content = Content(batch.content)
        moves = 0
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            self._ramp.wait(len(content.rows) + 1)
            try:
                self._writer.commit(self._writes(shard, batch.rows, content), self._lease.commit_timeout())
            except grpc.RpcError as error:
                if self._audit.is_committed(self._run, batch.rows):
                    break
                if error.code() in MOVED:
                    moves += 1
                    content = self._replanner.replan(content, give_up=moves >= _MOST_MOVES)
                elif error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                    content = self._without_the_invalid(content)
                elif is_transient(error):
                    time.sleep(random.uniform(0, min(10.0, 0.1 * 2**attempt)))  # noqa: S311 -- not a secret
                else:
                    raise CommitError(
                        f"Firestore refused rows {batch.rows} of {self._run.version}: {error.code().name}.",
                        "Check that the connection's identity may write, then clear `apply`.",
                        rows=batch.rows,
                        code=error.code().name,
                    ) from error
            else:
                break
        else:
            raise Unavailable(
                f"Rows {batch.rows} of {self._run.version} were not accepted in {_MOST_ATTEMPTS} attempts.",
                "Clear `apply` when the server is well: it goes on where it stopped.",
                rows=batch.rows,
            )
        return Applied(1, len(content.rows), content.drifted, content.conflicts, content.failed, content.reads)

    def _writes(self, shard: int, rows: str, content: Content) -> list[bytes]:
        """The writes of one commit: documents, failures, and the record that makes it happen only once."""
        kept = ""
        if content.is_replanned:
            kept = write_rows(self._run.folder / "drift", content.rows)
        batch = BatchRecord(rows, shard, len(content.rows), content.drifted, kept)
        record = self._audit.batch_record(self._run, batch)
        failures = self._audit.failure_writes(self._run, content.failures)
        return [*(row.write for row in content.rows), *failures, record]

    def _without_the_invalid(self, content: Content) -> Content:
        """Find the rows that the server calls invalid, and set them aside as failures.

        A probe sends a part of the rows with a precondition that cannot hold. Nothing is ever written by it; the server
        answers that the rows are invalid, or that the precondition failed.
        """
        invalid = list(self._invalid(content.rows))
        if not invalid:
            raise CommitError(
                f"Firestore calls a batch of {self._run.version} invalid, but none of its documents.",
                "This is a defect; please report it with the run's id.",
            )
        return content.without(invalid, "InvalidArgument: Firestore does not take the document as it would become")

    def _invalid(self, rows: list[Any]) -> Iterator[Any]:
        if not self._is_invalid(rows):
            return
        if len(rows) == 1:
            yield rows[0]
            return
        middle = len(rows) // 2
        yield from self._invalid(rows[:middle])
        yield from self._invalid(rows[middle:])

    def _is_invalid(self, rows: list[Any]) -> bool:
        impossible = self._audit.impossible_write(self._run)
        for _ in range(_MOST_ATTEMPTS):
            try:
                self._writer.commit([*(row.write for row in rows), impossible], self._lease.commit_timeout())
            except grpc.RpcError as error:
                if is_transient(error):
                    time.sleep(0.2)
                    continue
                return bool(error.code() == grpc.StatusCode.INVALID_ARGUMENT)
        raise Unavailable("Firestore did not tell which document is invalid.", "Clear `apply` when the server is well.")

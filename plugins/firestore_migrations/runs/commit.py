"""commit: one batch, surely once.

Whether a commit arrived is never guessed. Its record is created in the same commit and must not exist before, so a
batch whose answer was lost is asked for by its record, and of two workers that send one batch one writes it.

A commit is refused as a whole when one of its documents moved since it was planned. Those documents are planned again
from what they are now, that state is kept in storage as their before-image, and the batch is sent with the new writes.

A batch that is too much for one commit is split. Its record then says into which batches, and nothing else: whoever
writes that record first has decided, so that a whole and its parts are never both written. A part is a batch like any
other. So is a document that keeps moving: alone, there is hardly a moment between reading and writing it.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import grpc

from firestore_migrations.errors import CommitError, Unavailable
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import CREATED, DELETED, UPDATED
from firestore_migrations.firestore.connection import Reader, Writer, is_transient
from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.committed import Part
from firestore_migrations.runs.failure import CONFLICT, INVALID, TOO_LARGE, Failure
from firestore_migrations.runs.ledger import MOVED
from firestore_migrations.runs.plan import MOST_WRITES, Batch, Call, Row, pins, write_rows
from firestore_migrations.runs.pressure import PUSHED_BACK, Pressure
from firestore_migrations.runs.redrive import failed_before
from firestore_migrations.runs.replan import Content, Replanner
from firestore_migrations.runs.run import Run

_LOG = logging.getLogger(__name__)
_MOST_ATTEMPTS = 30
_MOST_MOVES = 20
_MOVES_TOGETHER = 3
_PUSHES_TOGETHER = 2
_BYTES_FOR_FRAME = 4096


@dataclass(frozen=True)
class Applied:
    """What sending batches came to.

    Attributes:
        batches: committed, by this call or an earlier one.
        writes: in them.
        drifted: rows that were planned again.
        conflicts: documents that kept moving, or that nothing can plan again.
        failed: documents that cannot be written.
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

    @classmethod
    def of(cls, record: BatchRecord, failures: tuple[Failure, ...] = ()) -> Applied:
        """What a record tells; `failures` are those that this call has recorded."""
        conflicts = sum(failure.is_conflict for failure in failures)
        batches = 0 if record.split else 1
        failed = len(failures) - conflicts
        return cls(batches, record.writes, record.drifted, conflicts, failed, record.reads)


class Committer:
    """Commits the batches of one plan. Threads may share it.

    Args:
        run: whose plan.
        part: the plan.
        writer: the connection that commits.
        reader: the one that reads documents again.
        audit: of the target.
        permit: gives the seconds that the next commit may take; raises where nothing may be written any more.
        wait: holds so many operations back until they may be sent.
        pressure: how much is sent at once.
    """

    def __init__(  # noqa: PLR0913 -- the collaborators of the one place that writes
        self,
        run: Run,
        part: Part,
        writer: Writer,
        reader: Reader,
        audit: Audit,
        permit: Callable[[], float],
        wait: Callable[[int], None],
        pressure: Pressure,
    ) -> None:
        self._run = run
        self._part = part
        self._writer = writer
        self._audit = audit
        self._permit = permit
        self._wait = wait
        self._pressure = pressure
        self._replanner = Replanner(run, reader)
        self._most_bytes = run.target.address.request_limit - _BYTES_FOR_FRAME
        self._failed_earlier = failed_before(run, audit) if run.options.redrive else {}
        self._failed_before = {failure.call: failure for failure in audit.failures(run)}

    def commit(self, batch: Batch) -> Applied:
        """Send one batch until it is known to be committed.

        Raises:
            Refused: the run may write no more; the batch was not written.
            CommitError: the server refused it for good.
            Unavailable: the server does not answer.
        """
        content = Content.of(batch.content)
        moves = pushes = 0
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            cut = self._cut(batch, content, moves, pushes)
            if cut:
                return self._split(batch, cut)
            record, writes = self._writes(batch.rows, content)
            if sum(map(len, writes)) > self._most_bytes:
                content = content.without(content.rows, f"{TOO_LARGE}: what it writes does not fit into one request")
                continue
            error = self._send(writes)
            if error is None:
                return Applied.of(record, content.failures)
            committed = self._audit.batch(self._run, batch.rows)
            if committed is not None:
                return self._as_committed(batch, committed)
            if error.code() in MOVED:
                moves += 1
                content = self._moved(content, moves)
            elif error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                content = self._without_the_invalid(content)
            elif is_transient(error):
                pushes += error.code() in PUSHED_BACK
                _LOG.info("rows %s: the server answers %s; attempt %d", batch.rows, error.code().name, attempt)
                _rest(attempt)
            else:
                raise self._refused(batch, error) from error
        raise Unavailable(
            f"Rows {batch.rows} of {self._run.version} were not accepted in {_MOST_ATTEMPTS} attempts.",
            "Clear `apply` when the server is well: it goes on where it stopped.",
            rows=batch.rows,
        )

    def _send(self, writes: list[bytes]) -> grpc.RpcError | None:
        """Send one commit when it may be sent; return the error that came of it, and tell the pressure."""
        self._wait(len(writes))
        timeout = self._permit()
        began = time.monotonic()
        try:
            self._writer.commit(writes, timeout)
        except grpc.RpcError as error:
            if error.code() in PUSHED_BACK:
                self._pressure.pushed_back(error.code())
            return error
        self._pressure.took(time.monotonic() - began)
        return None

    def _cut(self, batch: Batch, content: Content, moves: int, pushes: int) -> tuple[str, ...]:
        """The parts that the batch is to be split into before it is sent again; none to send it whole."""
        if len(content.calls) == 1:
            return ()
        most, alone = max(1, self._pressure.rows), frozenset[Call]()
        size = sum(len(row.write) + len(row.source) + 200 for row in content.rows)
        if moves >= _MOVES_TOGETHER:
            alone = content.moved
        elif pushes >= _PUSHES_TOGETHER or size > self._most_bytes or len(content.rows) > MOST_WRITES:
            most = min(most, -(-len(batch.content) // 2))
        cut = batch.cut(most, alone)
        return cut if len(cut) > 1 else ()

    def _split(self, batch: Batch, cut: tuple[str, ...]) -> Applied:
        """Record that the batch is split, unless another worker has decided otherwise, and send the parts."""
        record = self._audit.batch_record(self._run, self._part.record(batch.rows, split=cut))
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            error = self._send([record])
            decided = self._audit.batch(self._run, batch.rows)
            if decided is not None:
                return self._as_committed(batch, decided)
            if error is not None and not is_transient(error):
                raise self._refused(batch, error) from error
            _rest(attempt)
        raise Unavailable(f"Rows {batch.rows} could not be split.", "Clear `apply` when the server is well.")

    def _as_committed(self, batch: Batch, record: BatchRecord) -> Applied:
        """What has become of a batch whose record is there, whoever wrote it."""
        total = Applied.of(record)
        for part in batch.parts(record.split):
            total += self.commit(part)
        return total

    def _moved(self, content: Content, moves: int) -> Content:
        if moves > 1:
            _rest(moves, 0.01, 1.0)
        again = self._replanner.replan(content)
        if moves < _MOST_MOVES or len(again.calls) > 1:
            return again
        rows = [row for row in again.rows if row.call in again.moved]
        return again.without(rows, f"{CONFLICT}: it kept changing while it was migrated")

    def _writes(self, rows: str, content: Content) -> tuple[BatchRecord, list[bytes]]:
        """One commit: documents, pins, failures, and last the record that makes it happen only once."""
        pinned = self._pins(content.rows)
        failures = {failure.call: failure for failure in content.failures}
        for call in failures.keys() & self._failed_before.keys():
            failures[call] = self._failed_before[call].joined_by(failures[call])
        settled = [self._failed_before[call] for call in self._retried(content) - failures.keys()]
        record = self._record(rows, content, len(pinned))
        return record, [
            *(row.write for row in content.rows),
            *pinned,
            *self._audit.failure_writes(self._run, failures.values()),
            *self._audit.redriven_writes(self._run, settled),
            *self._settled_earlier(content.calls - failures.keys()),
            self._audit.batch_record(self._run, record),
        ]

    def _settled_earlier(self, calls: AbstractSet[Call]) -> Iterator[bytes]:
        """The writes that settle, in the same commit, what a redrive migrates: no other redrive does it again."""
        for run_id, failures in self._failed_earlier.items():
            settled = [failure for failure in failures if failure.call in calls]
            yield from self._audit.redriven_by_writes(self._run, run_id, settled)

    def _record(self, rows: str, content: Content, pinned: int) -> BatchRecord:
        operations = Counter(row.operation for row in content.rows)
        return self._part.record(
            rows,
            writes=len(content.rows),
            drifted=content.drifted,
            created=operations[CREATED],
            updated=operations[UPDATED],
            deleted=operations[DELETED],
            documents=len(content.written),
            unchanged=content.unchanged,
            scanned=len(content.calls) - len(self._retried(content)) if self._part.is_residue else 0,
            pins=pinned,
            reads=content.reads,
            drift=write_rows(self._run.folder / "drift", content.rows) if content.is_replanned else "",
        )

    def _retried(self, content: Content) -> AbstractSet[Call]:
        """The calls that had failed before verify planned them again."""
        return content.calls & self._failed_before.keys() if self._part.is_residue else frozenset()

    def _pins(self, rows: list[Row]) -> list[bytes]:
        """Writes that change nothing, and fail if a document is not as it was planned from."""
        writes = []
        for path, update_time in pins(rows).items():
            write = wire.Write()
            write.update.name = self._writer.full_name(path)
            write.update_mask.SetInParent()
            write.current_document.update_time.CopyFrom(wire.timestamp(update_time))
            writes.append(write.SerializeToString())
        return writes

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
        return content.without(invalid, f"{INVALID}: Firestore does not take the document as it would become")

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
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            error = self._send([*(row.write for row in rows), impossible])
            if error is not None and not is_transient(error):
                return bool(error.code() == grpc.StatusCode.INVALID_ARGUMENT)
            _rest(attempt)
        raise Unavailable("Firestore did not tell which document is invalid.", "Clear `apply` when the server is well.")

    def _refused(self, batch: Batch, error: grpc.RpcError) -> CommitError:
        return CommitError(
            f"Firestore refused rows {batch.rows} of {self._run.version}: {error.code().name}.",
            "Check that the connection's identity may write, then clear `apply`.",
            rows=batch.rows,
            code=error.code().name,
        )


def _rest(attempt: int, first: float = 0.1, longest: float = 10.0) -> None:
    """Wait a random while, longer with every attempt."""
    time.sleep(random.uniform(0, min(longest, first * 2**attempt)))  # noqa: S311 -- not a secret

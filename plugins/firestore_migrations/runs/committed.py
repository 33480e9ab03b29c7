"""What a run has really written: its plan, where the batch records say that it was committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from firestore_migrations.errors import StorageError
from firestore_migrations.runs.batch_record import BatchRecord
from firestore_migrations.runs.plan import Batch, Plan, Row, find_plan, read_batches, read_rows
from firestore_migrations.runs.storage import Folder

RESIDUE = "residue/"


class Part(NamedTuple):
    """A plan within a run: of a shard, or of the residue of one pass of verify.

    Attributes:
        name: its folder within the run's.
        shard: the number that its batch records carry.
        first_row: the number, in the whole run, of its first row.
    """

    name: str
    shard: int
    first_row: int

    @property
    def is_residue(self) -> bool:
        """Whether verify made it, not the dry run."""
        return self.name.startswith(RESIDUE)

    @property
    def signed(self) -> tuple[str, int]:
        """The plan and the shard that its batches' records carry; those of residue name the plan: no review has."""
        return (self.name if self.is_residue else "", self.shard)

    def record(self, rows: str, **facts: Any) -> BatchRecord:
        """The record of one of its batches."""
        plan, shard = self.signed
        return BatchRecord(rows, shard, plan=plan, first_row=self.first_row if plan else 0, **facts)


class Committed(NamedTuple):
    """A row that was committed.

    Attributes:
        row: as it was committed.
        commit_time: in microseconds: the update time of its document.
        stamped_at: in microseconds: the value of the fields that the server filled with its time.
        is_as_reviewed: whether it is a row of the reviewed plan, not one of a document that moved or came later.
    """

    row: Row
    commit_time: int
    stamped_at: int = 0
    is_as_reviewed: bool = False


def joined_digest(digests: Iterable[str]) -> str:
    """The digest of a whole plan, from those of its shards."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def parts_of(folder: Folder, records: Iterable[BatchRecord] = ()) -> list[Part]:
    """The plans of a run, in order; none before the review has joined them.

    Args:
        folder: the run's.
        records: of its batches: those of residue name their plans.

    Raises:
        StorageError: the run has batches, so it was reviewed, and yet the file that says so is missing or altered.
    """
    records = list(records)
    if not records and not folder.has("review.json"):
        return []
    planned = [Part(*part) for part in folder.read_json("review.json")["parts"]]
    residue = {Part(record.plan, record.shard, record.first_row) for record in records if record.plan}
    return [*planned, *sorted(residue, key=lambda part: part.first_row)]


def plan_of(folder: Folder, part: Part) -> Plan:
    """The plan of one part.

    Raises:
        StorageError: it is gone.
    """
    plan = find_plan(folder / part.name)
    if plan is None:
        raise StorageError(f"{folder / part.name}/plan.json is missing.", "Restore the storage from its backup.")
    return plan


def batches_of(folder: Folder, part: Part) -> Iterator[Batch]:
    """The batches of one part, in order."""
    return read_batches(folder / part.name, plan_of(folder, part), part.first_row)


def leaves(batch: Batch, records: Mapping[str, BatchRecord]) -> Iterator[tuple[Batch, BatchRecord | None]]:
    """The batch, or those that it was split into, each with its record; None where it is not committed yet."""
    record = records.get(batch.rows)
    if record is None or not record.split:
        yield batch, record
        return
    for part in batch.parts(record.split):
        yield from leaves(part, records)


def committed_rows(
    folder: Folder, records: Iterable[BatchRecord], parts: Iterable[Part] | None = None
) -> Iterator[Committed]:
    """Yield every row that a run has committed, as it was committed, in the order of rows.

    Args:
        folder: the run's.
        records: of its batches.
        parts: those of its plans that count; None for all.

    Raises:
        StorageError: a plan or kept rows are missing or altered.
    """
    records = list(records)
    by_rows = {record.rows: record for record in records}
    for part in parts_of(folder, records) if parts is None else parts:
        for planned in batches_of(folder, part):
            for batch, record in leaves(planned, by_rows):
                if record is not None:
                    rows = read_rows(folder / "drift", record.drift) if record.drift else batch.content
                    is_as_reviewed = not (record.drift or part.is_residue)
                    for row in rows:
                        yield Committed(row, record.commit_time, record.stamped_at, is_as_reviewed)

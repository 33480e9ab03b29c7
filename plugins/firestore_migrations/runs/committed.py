"""What a run has really written: its plan, where the batch records say that it was committed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from firestore_migrations.errors import StorageError
from firestore_migrations.runs.audit import BatchRecord
from firestore_migrations.runs.plan import Batch, Plan, Row, find_plan, read_batches, read_rows, rows_name
from firestore_migrations.runs.segments import read_groups
from firestore_migrations.runs.storage import Folder


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
        return self.name.startswith("residue/")


class Committed(NamedTuple):
    """A row that was committed, and when, in microseconds: the update time of its document."""

    row: Row
    commit_time: int


def joined_digest(digests: Iterable[str]) -> str:
    """The digest of a whole plan, from those of its shards."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def parts_of(folder: Folder) -> list[Part]:
    """All plans of a run, in order; none before the review has joined them."""
    names = [name for name in ("review.json", "residue.json") if folder.has(name)]
    return [Part(*part) for name in names for part in folder.read_json(name)["parts"]]


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


def operations(folder: Folder, records: Iterable[BatchRecord]) -> Counter[str]:
    """How many documents a run has really created, updated and deleted."""
    by_rows = {record.rows: record for record in records}
    total: Counter[str] = Counter()
    for part in parts_of(folder):
        plan = plan_of(folder, part)
        for group in read_groups(folder / part.name, plan.segments, ["row", "operation"]):
            numbers = group["row"].to_pylist()
            record = by_rows.get(rows_name(part.first_row + numbers[0], part.first_row + numbers[-1]))
            if record is None:
                continue
            if record.drift:
                total.update(row.operation for row in read_rows(folder / "drift", record.drift))
            else:
                total.update(group["operation"].to_pylist())
    return total


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
    by_rows = {record.rows: record for record in records}
    for part in parts_of(folder) if parts is None else parts:
        for batch in batches_of(folder, part):
            record = by_rows.get(batch.rows)
            if record is None:
                continue
            rows = read_rows(folder / "drift", record.drift) if record.drift else batch.content
            for row in rows:
                yield Committed(row, record.commit_time)

"""The record of a batch: written in its commit, so that the batch is never committed twice, and says what it held."""

from __future__ import annotations

from typing import Any, NamedTuple

from firestore_migrations.runs.ledger import Entry
from firestore_migrations.runs.run import microseconds

_BY_THE_SERVER = frozenset({"stamped_at", "commit_time"})


class BatchRecord(NamedTuple):
    """What the commit of one batch held, or into which batches it was split.

    Attributes:
        rows: its first and last row, which name it.
        shard: that it belongs to.
        writes: documents that it wrote.
        drifted: rows that were planned again, because a document had moved.
        created: of the writes; so are `updated` and `deleted`.
        documents: that a step was called with, and that led to the writes.
        unchanged: documents that a step was called with, and that nothing had to be written for in the end.
        scanned: documents that were planned here for the first time, after the review: residue.
        pins: documents that were only looked at, so that they are as the writes were planned from.
        reads: documents that were read again for it.
        drift: the name of its rows in storage, where they are not those of the plan.
        plan: the folder of the plan, where that is residue.
        first_row: of that plan, in the whole run.
        split: the batches that stand in its place; nothing was written then.
        sealed_by: the run that takes this one back, and lets it commit this batch no more.
        stamped_at: in microseconds: what the server put where the commit had its time put.
        commit_time: in microseconds: the update time of its documents.
    """

    rows: str
    shard: int
    writes: int = 0
    drifted: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    documents: int = 0
    unchanged: int = 0
    scanned: int = 0
    pins: int = 0
    reads: int = 0
    drift: str = ""
    plan: str = ""
    first_row: int = 0
    split: tuple[str, ...] = ()
    sealed_by: str = ""
    stamped_at: int = 0
    commit_time: int = 0

    def written(self) -> dict[str, Any]:
        """The fields of the document that is the record."""
        always = {"rows": self.rows, "shard": self.shard, "writes": self.writes, "drifted": self.drifted}
        facts = {name: value for name, value in self._asdict().items() if value and name not in _BY_THE_SERVER}
        return {**facts, **always}

    @classmethod
    def of(cls, rows: str, entry: Entry) -> BatchRecord:
        """The record that is at `batches/{rows}`."""
        known = {name: value for name, value in entry.data.items() if name in cls._fields}
        stamped = known.get("stamped_at")
        return cls(
            **{
                **known,
                "rows": rows,
                "split": tuple(known.get("split", ())),
                "stamped_at": entry.update_time if stamped is None else microseconds(stamped),
                "commit_time": entry.update_time,
            }
        )

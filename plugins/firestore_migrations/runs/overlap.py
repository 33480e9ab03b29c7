"""overlap: two calls of a plan that meet in one document, so that the order of their commits would decide.

All steps are planned from one snapshot, and their batches are committed in any order. So a document is written by one
call alone; and one from which a call makes other documents is written by no other call.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from firestore_migrations.errors import WrittenTwice
from firestore_migrations.runs.committed import Part, batches_of, plan_of
from firestore_migrations.runs.segments import read_groups, scalar_of
from firestore_migrations.runs.storage import Folder

_REMEDY = "Nothing was written. Put the steps into two versions; or, within one step, use shards=1 or a @script."


def refuse_overlap(version: str, folder: Folder, parts: Sequence[Part]) -> None:
    """Look at all rows of a plan; only one whose steps write other documents than their own needs it.

    Raises:
        WrittenTwice: naming the first such document and the steps.
    """
    columns = ["path", "source", "step"]
    groups = [
        group for part in parts for group in read_groups(folder / part.name, plan_of(folder, part).segments, columns)
    ]
    if not groups:
        return
    rows = pa.concat_tables(groups)
    twice = _written_twice(rows)
    if twice:
        steps = _steps(folder, parts, twice[0])
        raise WrittenTwice(
            f"{len(twice)} documents are written twice by {version}, the first of them {twice[0]} by {_joined(steps)}.",
            _REMEDY,
            path=twice[0],
            steps=steps,
        )
    read = _read_and_written(rows)
    if read:
        steps = _steps(folder, parts, read[0])
        raise WrittenTwice(
            f"{len(read)} documents are changed by {version} while it makes other documents of them, the first of them "
            f"{read[0]}, by {_joined(steps)}.",
            _REMEDY,
            path=read[0],
            steps=steps,
        )


def _written_twice(rows: pa.Table) -> list[str]:
    counted = pc.value_counts(rows["path"])
    return sorted(counted.filter(pc.greater(counted.field("counts"), scalar_of(1))).field("values").to_pylist())


def _read_and_written(rows: pa.Table) -> list[str]:
    """The documents that one call only reads, as `pins` has it, and that another writes."""
    is_own = pc.equal(rows["path"], rows["source"])
    others = rows.filter(pc.and_(pc.invert(is_own), pc.not_equal(rows["source"], scalar_of(""))))
    own = rows.filter(is_own)
    pinned = others["source"]
    if own.num_rows:
        pinned = pinned.filter(pc.invert(pc.is_in(_calls(others), value_set=_calls(own).combine_chunks())))
    if not len(pinned):
        return []
    pinned = pc.unique(pinned)
    return sorted(pinned.filter(pc.is_in(pinned, value_set=rows["path"].combine_chunks())).to_pylist())


def _calls(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["step"], rows["source"], scalar_of("\0"))


def _joined(steps: tuple[str, ...]) -> str:
    return " and ".join(map(repr, steps))


def _steps(folder: Folder, parts: Sequence[Part], path: str) -> tuple[str, ...]:
    """The steps that write a document, or make others of it."""
    batches = (batch for part in parts for batch in batches_of(folder, part))
    return tuple(sorted({row.step for batch in batches for row in batch.content if path in (row.path, row.source)}))

"""Undo: all that the runs which are taken back wrote to one document."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from firestore_migrations.runs.audit import Audit
from firestore_migrations.runs.committed import Committed, committed_rows
from firestore_migrations.runs.run import Run


class Undo(NamedTuple):
    """One document, and what the runs committed to it, the newest first."""

    path: str
    rows: tuple[Committed, ...]


def undos(run: Run, audit: Audit, undoes: Sequence[str]) -> Iterator[Undo]:
    """Every document that the runs wrote, once; in the same order whenever it is asked.

    Memory holds only the documents that several rows wrote. One run writes a document once, as its review has made
    sure, but for residue and for what was planned again while it was applied.

    Args:
        run: the run `down`.
        audit: of the target.
        undoes: the runs to take back.
    """
    written = [(run.of(run_id), audit.batches(run.version, run_id)) for run_id in undoes]

    def rows() -> Iterator[Committed]:
        for folder, records in written:
            yield from committed_rows(folder, records)

    if len(written) == 1 and not any(record.drift or record.plan for _, records in written for record in records):
        yield from (Undo(item.row.path, (item,)) for item in rows())
        return
    repeated = _repeated(item.row.path for item in rows())
    held: dict[str, list[Committed]] = {}
    for item in rows():
        path = item.row.path
        if _mark(path) in repeated:
            held.setdefault(path, []).append(item)
        else:
            yield Undo(path, (item,))
    for path, items in held.items():
        yield Undo(path, tuple(sorted(items, key=lambda item: item.commit_time, reverse=True)))


def _repeated(paths: Iterable[str]) -> frozenset[int]:
    """The marks of the paths that come more than once; eight bytes a path, while it looks."""
    marks = array("q", map(_mark, paths))
    column = pa.Array.from_buffers(pa.int64(), len(marks), [None, pa.py_buffer(marks)]).sort()
    later, earlier = column[1:], column[:-1]
    return frozenset(later.filter(pc.equal(later, earlier)).to_pylist())


def _mark(path: str) -> int:
    """A number for a path, the same in every process; where two share one, they are held for nothing."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "big", signed=True)

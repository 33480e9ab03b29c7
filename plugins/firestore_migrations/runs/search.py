"""Search: the planned rows whose path has a text, a page at a time, read from the plan's own files."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from firestore_migrations.runs.committed import Part, plan_of
from firestore_migrations.runs.plan import Row, rows_of
from firestore_migrations.runs.segments import read_groups
from firestore_migrations.runs.storage import Folder

_SECONDS = 1.5


class Found(NamedTuple):
    """A page of planned rows.

    Attributes:
        rows: each with its number in the whole run.
        next_row: the number from which the search goes on; None where it has seen the whole plan.
        is_cut: whether it stopped for it took long, not because the page is full.
    """

    rows: tuple[tuple[int, Row], ...]
    next_row: int | None
    is_cut: bool = False


def search(  # noqa: PLR0913 -- what is searched for, and the clock
    folder: Folder,
    parts: list[Part],
    text: str = "",
    operation: str = "",
    *,
    from_row: int = 0,
    most: int = 50,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Find planned rows by path, in the order of the plan.

    Files that lie before `from_row` are not read. Of a large plan it reads for a moment and says where to go on.

    Args:
        folder: the run's.
        parts: its plans.
        text: that a path contains, upper and lower case alike; empty for every path.
        operation: `created`, `updated` or `deleted`; empty for all.
        from_row: the number, in the whole run, of the first row that counts.
        most: rows of a page.
        clock: seconds that only grow.

    Raises:
        StorageError: a file is missing or altered.
    """
    found: list[tuple[int, Row]] = []
    began = clock()
    for first, group in _groups(folder, parts, from_row):
        if clock() - began > _SECONDS:
            return Found(tuple(found), first, is_cut=True)
        for row in islice(_matching(group, text, operation, from_row - first), most + 1 - len(found)):
            if len(found) == most:
                return Found(tuple(found), first + row.row - _first_row(group))
            found.append((first + row.row - _first_row(group), row))
    return Found(tuple(found), None)


def _groups(folder: Folder, parts: list[Part], from_row: int) -> Iterator[tuple[int, pa.Table]]:
    """The row groups from a row on, each with the number of its first row in the whole run."""
    for part in parts:
        first = part.first_row
        for segment in plan_of(folder, part).segments:
            if first + segment.rows <= from_row:
                first += segment.rows
                continue
            for group in read_groups(folder / part.name, [segment]):
                if first + group.num_rows > from_row:
                    yield first, group
                first += group.num_rows


def _matching(group: pa.Table, text: str, operation: str, offset: int) -> Iterator[Row]:
    """The rows of a group, from an offset on, that are wanted; only these are made Python objects."""
    wanted = group.slice(max(0, offset))
    if operation:
        wanted = wanted.filter(pc.equal(wanted["operation"], operation))
    if text and wanted.num_rows:
        wanted = wanted.filter(pc.match_substring(wanted["path"], text, ignore_case=True))
    if wanted.num_rows:
        yield from rows_of(wanted)


def _first_row(group: pa.Table) -> int:
    return int(group["row"][0].as_py())

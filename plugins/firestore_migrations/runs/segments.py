"""Segments: the Parquet files of a snapshot or a plan, of bounded size, in order, each with its checksum.

A file's name tells its contents. So a worker that was thought dead, or planned from an older file, never replaces rows
that somebody writes from; which files count is said by the snapshot, the plan, or the batch's record.

A row group is what was added at once; for a plan that is one batch, the rows of one commit.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from firestore_migrations.errors import StorageError
from firestore_migrations.runs.storage import Folder

_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENT_ROWS = 50_000


class Segment(NamedTuple):
    """One file: its name in the folder, rows, bytes, and SHA-256 in hexadecimal."""

    name: str
    rows: int
    bytes: int
    sha256: str


def segment_name(number: int, sha256: str) -> str:
    """The name of the file of these contents that is the `number`-th of its folder, from 0."""
    return f"{number:06d}-{sha256[:16]}.parquet"


class SegmentWriter:
    """Writes rows into as many segments as they need. Memory holds one segment at a time.

    A thread compresses and stores the rows that were added last, while the next ones are made.

    Args:
        folder: where to.
        schema: the Arrow schema of the columns.
    """

    def __init__(self, folder: Folder, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._sink = pa.BufferOutputStream()
        self._parquet: pq.ParquetWriter | None = None
        self._rows = 0
        self._raw_bytes = 0
        self._segments: list[Segment] = []
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def add(self, columns: Iterable[Sequence[Any]]) -> None:
        """Add rows, at least one, as one row group; what went wrong with those before is raised here, or by `close`.

        Args:
            columns: of the schema, in its order; each has a value a row.
        """
        arrays = [column_of(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._wait()
        self._writing = self._thread.submit(self._write, pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> list[Segment]:
        """Write what is left, and return all segments in order."""
        self._wait()
        self._flush()
        self._thread.shutdown()
        return self._segments

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, table: pa.Table) -> None:
        if self._parquet is None:
            self._sink = pa.BufferOutputStream()  # each write to a Python file would wait for Python's lock
            self._parquet = pq.ParquetWriter(
                self._sink, self._schema, compression="zstd", use_dictionary=False, write_statistics=False
            )
        self._parquet.write_table(table, row_group_size=len(table))
        self._rows += len(table)
        self._raw_bytes += table.nbytes
        if self._rows >= _SEGMENT_ROWS or self._raw_bytes >= _SEGMENT_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._parquet is None:
            return
        self._parquet.close()
        self._parquet = None
        data = self._sink.getvalue().to_pybytes()
        sha256 = hashlib.sha256(data).hexdigest()
        name = segment_name(len(self._segments), sha256)
        self._folder.write(name, data)
        self._segments.append(Segment(name, self._rows, len(data), sha256))
        self._rows = self._raw_bytes = 0


def read_groups(
    folder: Folder, segments: Sequence[Segment], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the row groups of segments in order, each file checked whole before its first row is used.

    Raises:
        StorageError: a file is missing, truncated or altered.
    """
    for segment in segments:
        data = folder.read(segment.name, segment.sha256)
        try:
            parquet = pq.ParquetFile(pa.BufferReader(data))
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, columns=columns, use_threads=False)
        except pa.ArrowException as error:
            raise StorageError(
                f"{folder}/{segment.name} cannot be understood as Parquet.", "Trigger a new run."
            ) from error


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The Arrow array of Python values: what `pa.array` makes, which first imports pandas wherever it is installed.

    That takes a second or more of every task's life, as long as some ten thousand documents.
    """
    nulls = values.count(None)
    validity = _bits(values) if nulls else None
    is_text, is_binary = pa.types.is_string(kind), pa.types.is_binary(kind)
    if nulls:
        nothing: Any = "" if is_text else b"" if is_binary else 0
        values = [nothing if value is None else value for value in values]
    if not (is_text or is_binary):
        return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(array("q", values))], nulls)
    parts = [value.encode() for value in values] if is_text else values
    offsets = array("i", accumulate(map(len, parts), initial=0))
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(kind, len(values), buffers, nulls)


def scalar_of(value: str | int) -> pa.Scalar:
    """The Arrow scalar of a Python value; `pa.scalar` imports pandas too, as does a Python value given to a kernel."""
    return column_of([value], pa.string() if isinstance(value, str) else pa.int64())[0]


def _bits(values: Sequence[Any]) -> pa.Buffer:
    """One bit a value, the first one lowest: whether it is not None."""
    number = int("".join("0" if value is None else "1" for value in reversed(values)), 2)
    return pa.py_buffer(number.to_bytes(-(-len(values) // 8), "little"))

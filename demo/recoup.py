"""Write Recoup's data to a Firestore emulator, and prove later that it is byte for byte what it was.

    python -m demo.recoup --host 127.0.0.1:8080 --project demo-recoup --if-empty

`seed` speaks the protocol itself: no client library stands between the data and its proof.
"""
# ruff: noqa: TID253 - this module is the wire; nothing that Airflow parses imports it

from __future__ import annotations

import argparse
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from typing import Any

import grpc
from google.cloud.firestore_v1.types import CommitRequest, RunQueryRequest, RunQueryResponse

from demo.recoup_data import TODAY, Fields, GeoPoint, Reference, documents
from firestore_migrations.firestore.connection import Address, Reader
from firestore_migrations.runs.fingerprint import take_fingerprint

_COMMIT = CommitRequest.pb()
_QUERY = RunQueryRequest.pb()
_QUERY_RESPONSE = RunQueryResponse.pb()
_IN_FLIGHT = 3
"""Commits under way at once: enough to keep the emulator busy while the next documents are drawn."""


class Database:
    """One database of an emulator, read and written as raw protocol messages. Made by `connect`."""

    def __init__(self, channel: grpc.Channel, project: str, database: str) -> None:
        self.name = f"projects/{project}/databases/{database}"
        self.root = f"{self.name}/documents"
        self._metadata = (("authorization", "Bearer owner"), ("google-cloud-resource-prefix", self.name))
        service = "/google.firestore.v1.Firestore"
        self._commit = channel.unary_unary(f"{service}/Commit", _COMMIT.SerializeToString, lambda data: data)
        self._query = channel.unary_stream(f"{service}/RunQuery", _QUERY.SerializeToString, _QUERY_RESPONSE.FromString)

    def begin_commit(self, batch: list[tuple[str, Fields]]) -> Any:
        """Send the documents, each to replace what was at its path, as one commit; gives a future."""
        request = _COMMIT(database=self.name)
        for path, fields in batch:
            document = request.writes.add().update
            document.name = f"{self.root}/{path}"
            for name, value in fields.items():
                self._fill(document.fields[name], value)
        return self._commit.future(request, metadata=self._metadata, timeout=60)

    def read(self, limit: int | None = None) -> Iterator[Any]:
        """Every document of the database, at any depth, in the order of its path, the audit trail too."""
        query: dict[str, Any] = {
            "from_": [{"all_descendants": True}],
            "order_by": [{"field": {"field_path": "__name__"}, "direction": 1}],
        }
        if limit is not None:
            query["limit"] = {"value": limit}
        request = _QUERY(parent=self.root, structured_query=query)
        for response in self._query(request, metadata=self._metadata, timeout=120):
            if response.HasField("document"):
                yield response.document

    def _fill(self, target: Any, value: Any) -> None:  # noqa: C901, PLR0912 - one branch for each type of the protocol
        if isinstance(value, str):
            target.string_value = value
        elif isinstance(value, bool):
            target.boolean_value = value
        elif isinstance(value, int):
            target.integer_value = value
        elif isinstance(value, float):
            target.double_value = value
        elif isinstance(value, datetime):
            target.timestamp_value.FromDatetime(value)
        elif isinstance(value, dict):
            target.map_value.SetInParent()
            for name, member in value.items():
                self._fill(target.map_value.fields[name], member)
        elif isinstance(value, list):
            target.array_value.SetInParent()
            for member in value:
                self._fill(target.array_value.values.add(), member)
        elif isinstance(value, Reference):
            target.reference_value = f"{value.database or self.name}/documents/{value.path}"
        elif isinstance(value, GeoPoint):
            target.geo_point_value.latitude = value.latitude
            target.geo_point_value.longitude = value.longitude
        elif isinstance(value, bytes):
            target.bytes_value = value
        elif value is None:
            target.null_value = 0
        else:
            raise TypeError(f"Firestore has no type for {type(value).__name__}.")


@contextmanager
def connect(host: str, project: str, database: str) -> Iterator[Database]:
    """A connection to one database of the emulator at `host` (`127.0.0.1:8080`); closed with the block."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(host, options=unlimited) as channel:
        yield Database(channel, project, database)


def seed(
    host: str,
    project: str,
    database: str = "(default)",
    scale: float = 1.0,
    *,
    today: datetime = TODAY,
) -> dict[str, int]:
    """Write the data set; the number of documents by collection id.

    Safe to run again: each document is replaced whole. Documents that are not of the set stay.

    Args:
        host: the emulator, as `127.0.0.1:8080`.
        project: any name; the emulator makes the project.
        database: any name but for the default one.
        scale: the share of the full set (1.0 is about 28,400 documents).
        today: midnight, in UTC, of the day the data is of; the same day gives the same data.
    """
    counts: Counter[str] = Counter()
    with connect(host, project, database) as target:
        remaining = documents(scale, today)
        under_way: deque[Any] = deque()
        while batch := list(islice(remaining, 500)):
            counts.update(path.split("/")[-2] for path, _ in batch)
            under_way.append(target.begin_commit(batch))
            if len(under_way) == _IN_FLIGHT:
                under_way.popleft().result()
        for commit in under_way:
            commit.result()
    return dict(counts)


def this_day() -> datetime:
    """Midnight, in UTC, of the present day: with it, invoices are as overdue as a migration's clock finds them."""
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def fingerprint(
    host: str, project: str, database: str = "(default)", collections: Collection[str] | None = None
) -> dict[str, str]:
    """A SHA-256 for each top-level collection, over every document in and below it. Writes nothing.

    It covers paths and fields to the last bit, not the times of writing, and leaves the audit trail out.
    Two databases that hold the same documents have the same fingerprint: a reference into the database itself
    counts by its path.

    Args:
        host: the emulator, as `127.0.0.1:8080`.
        project: the project.
        database: the database.
        collections: the top-level collections to look at; all where it is None.
    """
    with Reader(Address(project, database, emulator_host=host)) as reader:
        digests = take_fingerprint(reader).digests
    return {name: digest for name, digest in digests.items() if collections is None or name in collections}


def is_empty(host: str, project: str, database: str = "(default)") -> bool:
    """Whether the database holds no document at all."""
    with connect(host, project, database) as source:
        return not list(source.read(limit=1))


def main() -> None:
    """Seed the emulator that the arguments name, and say what was written."""
    parser = argparse.ArgumentParser(prog="python -m demo.recoup", description="Write Recoup's data to an emulator.")
    parser.add_argument("--host", default="127.0.0.1:8080", help="the emulator (default: %(default)s)")
    parser.add_argument("--project", default="demo-recoup", help="the project (default: %(default)s)")
    parser.add_argument("--database", default="(default)", help="the database (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the full set (default: 1.0)")
    parser.add_argument("--if-empty", action="store_true", help="do nothing where there are documents already")
    options = parser.parse_args()
    place = f"{options.project}/{options.database} at {options.host}"
    if options.if_empty and not is_empty(options.host, options.project, options.database):
        print(f"{place} has documents already; nothing was written.")
        return
    started = time.monotonic()
    counts = seed(options.host, options.project, options.database, options.scale, today=this_day())
    written = ", ".join(f"{count:,} {collection}" for collection, count in counts.items())
    print(f"Wrote {written} to {place} in {time.monotonic() - started:.1f} s.")


if __name__ == "__main__":
    main()

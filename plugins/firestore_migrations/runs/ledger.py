"""Small documents of our own in the target: read as dicts, written in atomic commits that are safe to repeat."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import grpc
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from firestore_migrations.errors import Unavailable, WriteRefused
from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.connection import Reader, Writer, is_transient, patiently, translated
from firestore_migrations.firestore.fields import api_path
from firestore_migrations.firestore.scan import ALL, KeyRange, collection_query, run_any_query, run_query
from firestore_migrations.runs.record import refuse_altered

_COMMIT_TIMEOUT = 20.0
_AT_ONCE = 200
MOVED = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.NOT_FOUND})
"""What a commit answers when a document is not as its precondition says."""


class Entry(NamedTuple):
    """A document of the ledger: its fields, and the update time that a change of it is based on."""

    data: dict[str, Any]
    update_time: int


class Conflict(Exception):
    """Somebody else changed the same ledger document first; read it again."""


class Ledger:
    """Reads and writes small documents by path.

    Args:
        connection: a `Reader` if nothing is to be written; writing through it is refused.
    """

    def __init__(self, connection: Reader) -> None:
        self._reader = connection

    def get(self, *paths: str) -> tuple[list[Entry | None], int]:
        """The documents at these paths, None for missing ones, and the server's time."""
        found, at = self._reader.get(paths)
        return [self._entry(found[path]) for path in paths], at

    def entries(
        self, collection: str, at: int | None = None, ids: tuple[str, str] | None = None, **equal: str
    ) -> Iterator[tuple[str, Entry]]:
        """The id and entry of each document of a collection, in the order of ids.

        Args:
            collection: its path.
            at: the time to read at, in microseconds since 1970; None for now.
            ids: only the documents from the first id on, up to but without the second; None for all.
            equal: only the documents that have these values in these fields.
        """
        parent, _, name = collection.rpartition("/")
        full_parent = f"{self._reader.address.name}/documents" + (f"/{parent}" if parent else "")
        query = collection_query(name)
        for field, value in equal.items():
            _compare(query, field, wire.StructuredQuery.FieldFilter.EQUAL, value)
        keys = ALL if ids is None else KeyRange(*(f"{collection}/{one}" for one in ids))
        for stored in run_query(self._reader, full_parent, query, at, keys):
            entry = self._entry(stored)
            if entry is not None:
                yield stored.path.rsplit("/", 1)[-1], entry

    def entries_since(self, collection: str, field: str, at_least: Any, most: int) -> Iterator[tuple[str, Entry]]:
        """The id and entry of the first documents of a collection whose field is that or more, in its order.

        Args:
            collection: its path.
            field: that every wanted document has.
            at_least: its least value.
            most: how many, at most.
        """
        parent, _, name = collection.rpartition("/")
        query = wire.StructuredQuery()
        query.from_.add(collection_id=name)
        _compare(query, field, wire.StructuredQuery.FieldFilter.GREATER_THAN_OR_EQUAL, at_least)
        query.order_by.add(direction=wire.StructuredQuery.ASCENDING).field.field_path = field
        query.limit.value = most
        for stored in run_any_query(self._reader, f"{self._reader.address.name}/documents/{parent}", query, None):
            entry = self._entry(stored)
            if entry is not None:
                yield stored.path.rsplit("/", 1)[-1], entry

    def count(self, collection: str, field: str = "", at_least: Any = None) -> int:
        """How many documents a collection has, counted by the server; with a field, those where it is that or more."""
        request = self._aggregation(collection)
        query = request.structured_aggregation_query
        if field:
            _compare(query.structured_query, field, wire.StructuredQuery.FieldFilter.GREATER_THAN_OR_EQUAL, at_least)
        return self._aggregate(request)["count"]

    def sum(self, collection: str, field: str) -> tuple[int, int]:
        """How many documents of a collection have a field, and its sum, made by the server.

        One field at a time: a query over several leaves out whoever lacks one, and needs an index of its own.
        """
        request = self._aggregation(collection)
        request.structured_aggregation_query.aggregations.add(alias="sum").sum.field.field_path = field
        found = self._aggregate(request)
        return found["count"], found["sum"]

    def _aggregation(self, collection: str) -> wire.RunAggregationQueryRequest:
        """A query that counts the documents of a collection."""
        parent, _, name = collection.rpartition("/")
        request = wire.RunAggregationQueryRequest(
            parent=f"{self._reader.address.name}/documents" + (f"/{parent}" if parent else "")
        )
        query = request.structured_aggregation_query
        query.structured_query.from_.add(collection_id=name)
        query.aggregations.add(alias="count").count.SetInParent()
        return request

    def _aggregate(self, request: wire.RunAggregationQueryRequest) -> Counter[str]:
        """The whole numbers of an aggregation, by alias."""

        def attempt() -> Counter[str]:
            answers = self._reader.stream("RunAggregationQuery", request, wire.RunAggregationQueryResponse, timeout=60)
            numbers: Counter[str] = Counter()
            for answer in answers:
                numbers.update({alias: value.integer_value for alias, value in answer.result.aggregate_fields.items()})
            return numbers

        found: Counter[str] = patiently(attempt, "count documents")
        return found

    def create(self, path: str, data: Mapping[str, Any], stamp: str = "") -> bytes:
        """The write that creates a document, and fails where it exists; the server fills the field `stamp`."""
        return self._write(path, data, exists=False, stamp=stamp)

    def impossible(self, path: str) -> bytes:
        """The write of a document that must exist, and never does."""
        return self._write(path, {}, exists=True)

    def put(self, path: str, data: Mapping[str, Any]) -> bytes:
        """The write that makes a document exactly this, whatever it was."""
        return self._write(path, data)

    def change(self, path: str, data: Mapping[str, Any], based_on: Entry | None) -> bytes:
        """The write that changes these fields of a document, and fails if it was changed meanwhile."""
        if based_on is None:
            return self._write(path, data, exists=False)
        return self._write(path, data, update_time=based_on.update_time)

    def commit(self, writes: list[bytes], proof: str) -> None:
        """Commit all or nothing, surely once.

        Args:
            writes: one of them creates the document at `proof`: its existence tells that a commit whose answer was lost
                did arrive.
            proof: that document's path.

        Raises:
            Conflict: a document is not as a precondition says.
            Unavailable: the server does not answer.
        """

        def attempt() -> None:
            try:
                self._writer.commit(writes, _COMMIT_TIMEOUT)
            except grpc.RpcError as error:
                if error.code() not in MOVED and not is_transient(error):
                    raise translated(error, "write the audit") from error
                if self.get(proof)[0][0] is not None:
                    return
                if error.code() in MOVED:
                    raise Conflict from error
                raise translated(error, "write the audit") from error

        Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            stop=stop_after_attempt(12),
            reraise=True,
        )(attempt)

    def commit_again(self, writes: list[bytes]) -> None:
        """Commit writes that may arrive twice without harm, until they have."""
        patiently(lambda: self._writer.commit(writes, _COMMIT_TIMEOUT), "write the audit")

    def become(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Make documents hold these fields, by path; a commit that arrives late changes nothing any more.

        Raises:
            Unavailable: the server does not answer.
        """
        remaining = iter(wanted)
        while paths := list(islice(remaining, _AT_ONCE)):
            while writes := self._changes({path: wanted[path] for path in paths}):
                with suppress(Conflict):
                    self.commit_once(writes)

    def _changes(self, wanted: Mapping[str, Mapping[str, Any]]) -> list[bytes]:
        """The writes that are still needed, each based on what is there now."""
        entries, _ = self.get(*wanted)
        return [
            self.change(path, fields, entry)
            for (path, fields), entry in zip(wanted.items(), entries, strict=True)
            if entry is None or any(entry.data.get(name) != value for name, value in fields.items())
        ]

    def commit_once(self, writes: list[bytes]) -> None:
        """Commit writes that are each based on an update time; whoever reads them again knows what became of them.

        Raises:
            Conflict: it was refused, or nobody knows whether it arrived: read again.
        """
        try:
            self._writer.commit(writes, _COMMIT_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() in MOVED or is_transient(error):
                raise Conflict from error
            raise translated(error, "write the audit") from error

    @property
    def _writer(self) -> Writer:
        if not isinstance(self._reader, Writer):
            raise WriteRefused(
                "The audit was opened for reading only, so nothing was written.", "This is a defect; please report it."
            )
        return self._reader

    def _write(
        self,
        path: str,
        data: Mapping[str, Any],
        *,
        exists: bool | None = None,
        update_time: int | None = None,
        stamp: str = "",
    ) -> bytes:
        write = wire.Write()
        write.update.name = self._reader.full_name(path)
        for name, value in data.items():
            write.update.fields[name].CopyFrom(values.encode(value, name))
        if update_time is not None:
            write.update_mask.field_paths.extend(api_path((name,)) for name in data)
            write.current_document.update_time.CopyFrom(wire.timestamp(update_time))
        elif exists is not None:
            write.current_document.exists = exists
        if stamp:
            now = wire.FieldTransform.ServerValue.REQUEST_TIME
            write.update_transforms.add(field_path=stamp, set_to_server_value=now)
        return write.SerializeToString()  # type: ignore[no-any-return]

    def _entry(self, stored: wire.Stored | None) -> Entry | None:
        if stored is None:
            return None
        fields = wire.Document.FromString(stored.raw).fields
        data = {name: values.decode(fields[name], str) for name in fields}
        refuse_altered(stored.path, data)
        return Entry(data, stored.update_time)


def _compare(query: Any, field: str, operator: Any, value: Any) -> None:
    """Make a query ask for the documents whose field compares like this with a value."""
    condition = query.where.field_filter
    condition.field.field_path = field
    condition.op = operator
    condition.value.CopyFrom(values.encode(value, field))

"""Scanning a scope: every document once, at one read time, in the order of names.

One long stream, however large the scope. Servers cut streams after about a minute; the scan then goes on behind the
last name that it saw, at the same read time, so no document comes twice and none is missed. Small pages are never
used: they cost an index seek each, and on the emulator a scan of the whole collection each.

Equality conditions go into the query, where they save reads and need no index of their own. Every other condition would
impose an order, so the reader applies it to what it reads.

A scope with an interval is read in the order of its window field, then of names: the interval goes into the query, so
that a window costs no more than what is in it. A stream that breaks goes on behind the value and name of its last
document.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.connection import Reader, is_transient, patiently, translated
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.scope import Scope
from firestore_migrations.firestore.window import WindowOrder

_STREAM_TIMEOUT = 300.0
_FRUITLESS_ATTEMPTS = 12


@dataclass(frozen=True)
class KeyRange:
    """A contiguous range of document names: from `start`, up to but without `end`. None is open."""

    start: str | None = None
    end: str | None = None

    def holds(self, path: str) -> bool:
        """Whether a document is in the range."""
        key = name_key(path)
        return (self.start is None or name_key(self.start) <= key) and (self.end is None or key < name_key(self.end))


ALL = KeyRange()


def scan(  # noqa: PLR0913 -- the clock is passed in
    reader: Reader,
    scope: Scope,
    read_time: int,
    keys: KeyRange = ALL,
    *,
    names_only: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    read: Callable[[], object] = lambda: None,
) -> Iterator[wire.Stored]:
    """Yield every document of the scope in the range, as it was at the read time, in the order of names.

    Those of a scope with an interval come in the order of the window's field, and are not cut by names.

    Args:
        reader: where from.
        scope: which documents.
        read_time: microseconds since 1970.
        keys: the range of names.
        names_only: read no fields where that is possible; a document then costs little, and its times are there.
        sleep: waits for some seconds before a stream that broke is asked for again.
        read: called for each document that the server sends, and bills: also for those that are not of the scope.

    Raises:
        Unavailable: the server cut the stream a dozen times in a row without sending anything.
        ConfigurationError: it refused, or keeps no data of so long ago any more.
    """
    conditions = filters.conditions(scope.where)
    local = [condition for condition in conditions if condition.op != "=="]
    query = scope_query(scope, [condition for condition in conditions if condition.op == "=="])
    if names_only and can_be_scanned_by_name(scope):
        query.select.fields.add(field_path="__name__")
    parent = f"{reader.address.name}/documents" + (f"/{scope.parent}" if scope.parent else "")
    narrow = scope.group or scope.has_wildcard
    for stored in run_query(reader, parent, query, read_time, keys, sleep, window=_window_of(scope)):
        read()
        if narrow and not scope.contains(stored.path):
            continue
        if local:
            fields = wire.Document.FromString(stored.raw).fields
            if not all(filters.matches(condition, fields) for condition in local):
                continue
        yield stored


def can_be_scanned_by_name(scope: Scope) -> bool:
    """Whether a scan needs no fields: no condition is for the reader, and names give the order."""
    return scope.interval is None and all(condition.op == "==" for condition in filters.conditions(scope.where))


def count(reader: Reader, scope: Scope, read_time: int, timeout: float) -> int | None:
    """How many documents a scan reads, counted by the server; None where it does not tell in so many seconds."""
    query = scope_query(scope, [condition for condition in filters.conditions(scope.where) if condition.op == "=="])
    query.ClearField("order_by")
    parent = f"{reader.address.name}/documents" + (f"/{scope.parent}" if scope.parent else "")
    request = wire.RunAggregationQueryRequest(parent=parent, read_time=wire.timestamp(read_time))
    request.structured_aggregation_query.structured_query.CopyFrom(query)
    request.structured_aggregation_query.aggregations.add(alias="count").count.SetInParent()
    try:
        answers = reader.stream("RunAggregationQuery", request, wire.RunAggregationQueryResponse, timeout)
        return int(sum(answer.result.aggregate_fields["count"].integer_value for answer in answers))
    except grpc.RpcError:
        return None


def scope_query(scope: Scope, equalities: list[filters.Condition]) -> Any:
    """The query of a scope, ordered by name; of one with an interval by the window's field first."""
    query = collection_query(scope.collection_id, all_descendants=scope.group or scope.has_wildcard)
    window = _window_of(scope)
    sent = [*equalities, *([] if window is None else window.conditions)]
    if len(sent) == 1:
        query.where.CopyFrom(filters.as_proto(sent[0]))
    elif sent:
        query.where.composite_filter.op = wire.StructuredQuery.CompositeFilter.AND
        query.where.composite_filter.filters.extend(map(filters.as_proto, sent))
    if window is not None:
        query.order_by.insert(0, window.order)
    return query


def _window_of(scope: Scope) -> WindowOrder | None:
    if scope.window is None or scope.interval is None:
        return None
    return WindowOrder(scope, *scope.interval)


def collection_query(collection_id: str, *, all_descendants: bool = False) -> Any:
    """The query of all documents of a collection, ordered by name."""
    query = wire.StructuredQuery()
    query.from_.add(collection_id=collection_id, all_descendants=all_descendants)
    order = query.order_by.add(direction=wire.StructuredQuery.ASCENDING)
    order.field.field_path = "__name__"
    return query


def run_query(  # noqa: PLR0913 -- the clock is passed in
    reader: Reader,
    parent: str,
    query: Any,
    read_time: int | None,
    keys: KeyRange = ALL,
    sleep: Callable[[float], None] = time.sleep,
    *,
    window: WindowOrder | None = None,
) -> Iterator[wire.Stored]:
    """Run a query that is ordered by name, or by a window, and resume it behind the last document when it breaks.

    Where no read time is given, the server's present is seen, and after a break what was present before it.
    """
    request = _request(parent, query, read_time)
    answer_type, answer = wire.DatedAnswer if read_time is None else wire.QueryAnswer, None
    if keys.start is not None:
        _set_cursor(request.structured_query.start_at, reader.full_name(keys.start), before=True)
    if keys.end is not None:
        _set_cursor(request.structured_query.end_at, reader.full_name(keys.end), before=True)
    last = None
    fruitless = 0
    while True:
        try:
            for answer in reader.stream("RunQuery", request, answer_type, _STREAM_TIMEOUT):
                if not answer.document:
                    continue  # progress without a document
                last, fruitless = reader.stored(answer.document), 0
                yield last
        except grpc.RpcError as error:
            fruitless += 1
            if not is_transient(error) or fruitless > _FRUITLESS_ATTEMPTS:
                raise _refusal(error, read_time, window) from error
            sleep(min(5.0, 0.1 * 2**fruitless))
            _go_on(request, reader, answer, last, window)
        else:
            return


def _request(parent: str, query: Any, read_time: int | None) -> Any:
    """The request to run a query, at a read time or at the server's present."""
    request = wire.RunQueryRequest(parent=parent, structured_query=query)
    if read_time is not None:
        request.read_time.CopyFrom(wire.timestamp(read_time))
    return request


def _go_on(
    request: Any, reader: Reader, answer: Any | None, last: wire.Stored | None, window: WindowOrder | None
) -> None:
    """Let a query go on behind its last document, or that one's value in the window, and at the time that it has seen.

    Args:
        request: of the query that broke.
        reader: that sent it.
        answer: the last one that came.
        last: the document that came last.
        window: whose order the query has; None for that of names.
    """
    if answer is not None and not request.HasField("read_time") and answer.HasField("read_time"):
        request.read_time.CopyFrom(wire.timestamp(wire.micros(answer.read_time)))
    if last is not None:
        start = request.structured_query.start_at
        _set_cursor(start, reader.full_name(last.path), before=False)
        if window is not None:
            start.values.insert(0, window.value_in(last))


def _refusal(error: grpc.RpcError, read_time: int | None, window: WindowOrder | None) -> Exception:
    """Our error for a scan that cannot go on; the one refusal that waiting makes worse says what it is."""
    if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
        return translated(error, "send the documents of a scope")
    if window is not None and "index" in (error.details() or ""):
        return window.missing_index()
    at = "" if read_time is None else f" as they were at {wire.timestamp(read_time).ToJsonString()}"
    return ConfigurationError(
        f"Firestore cannot send the documents of a scope{at}: FAILED_PRECONDITION.",
        "It keeps one hour of the past, or seven days with point-in-time recovery: enable that where backups take "
        "longer, then trigger a new run. Where the time is not the reason, the scope's filters need an index.",
        code="FAILED_PRECONDITION",
        read_time=read_time,
    )


def run_any_query(reader: Reader, parent: str, query: Any, read_time: int | None) -> list[wire.Stored]:
    """Run a query of any order, whole: one that breaks is asked again from its beginning."""
    request = _request(parent, query, read_time)

    def attempt() -> list[wire.Stored]:
        answers = reader.stream("RunQuery", request, wire.QueryAnswer, _STREAM_TIMEOUT)
        return [reader.stored(answer.document) for answer in answers if answer.document]

    return patiently(attempt, "answer a query")  # type: ignore[no-any-return]


def split(reader: Reader, scope: Scope, shards: int, read_time: int) -> list[KeyRange]:
    """Cut a scope into ranges of about equally many documents.

    The server proposes the cuts where it can (PartitionQuery); else one pass over the names finds them.

    Returns:
        At most `shards` ranges that together are the whole scope and do not overlap; one of a scope with an interval.
    """
    if shards <= 1 or scope.interval is not None:
        return [ALL]
    cuts = _partition(reader, scope, shards, read_time)
    if cuts is None:
        names = [stored.path for stored in scan(reader, scope, read_time, names_only=True)]
        cuts = [names[len(names) * i // shards] for i in range(1, shards)] if len(names) >= shards else []
    bounds = [None, *cuts, None]
    return [KeyRange(start, end) for start, end in pairwise(bounds)]


def _partition(reader: Reader, scope: Scope, shards: int, read_time: int) -> list[str] | None:
    """The server's cuts within the scope, in order; None where the server cannot make any."""
    request = wire.PartitionQueryRequest(
        parent=f"{reader.address.name}/documents",
        structured_query=scope_query(Scope(scope.collection_id, group=True), []),
        partition_count=shards - 1,
        read_time=wire.timestamp(read_time),
    )
    cuts: list[str] = []
    while True:
        answer = patiently(lambda: _page_of_cuts(reader, request), "split a scope")
        if answer is None:
            return None
        cuts += [reader.path(cursor.values[0].reference_value) for cursor in answer.partitions]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    return sorted((cut for cut in cuts if scope.contains(cut)), key=name_key)


def _page_of_cuts(reader: Reader, request: Any) -> Any | None:
    """One page of the server's cuts; None where it knows no such method, as the emulator."""
    try:
        return reader.unary("PartitionQuery", request, wire.PartitionQueryResponse, timeout=60)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return None
        raise


def _set_cursor(cursor: Any, full_name: str, *, before: bool) -> None:
    cursor.Clear()
    cursor.before = before
    cursor.values.add(reference_value=full_name)

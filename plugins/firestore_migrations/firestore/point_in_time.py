"""The database at one read time: what a plan reads besides its snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from firestore_migrations.firestore import scan, wire
from firestore_migrations.firestore.connection import Reader, patiently
from firestore_migrations.firestore.scope import Scope

_NAMES_PER_REQUEST = 500
_AGGREGATIONS = 5
"""The most that one request may have."""
_COUNT = "_documents"


class PointInTime:
    """Reads of one database at one time; the same question always gets the same answer.

    Attributes:
        reads: documents read so far, missing ones included, as Firestore bills them.
    """

    def __init__(self, reader: Reader, read_time: int) -> None:
        self.reader = reader
        self.read_time = read_time
        self.reads = 0

    def get(self, paths: Iterable[str], *, names_only: bool = False) -> dict[str, wire.Stored | None]:
        """The documents at these paths, or their names and times alone; None for a missing one."""
        found: dict[str, wire.Stored | None] = {}
        remaining = iter(dict.fromkeys(paths))
        while names := list(islice(remaining, _NAMES_PER_REQUEST)):
            documents, _ = self.reader.get(names, self.read_time, names_only=names_only)
            found.update(documents)
            self.reads += len(names)
        return found

    def scan(self, scope: Scope, keys: scan.KeyRange = scan.ALL, *, names_only: bool = False) -> Iterator[wire.Stored]:
        """Every document of a scope in a range of names, in the order of names; of each the name and times may do."""
        return scan.scan(self.reader, scope, self.read_time, keys, names_only=names_only, read=self._count_one)

    def query(self, parent: str, query: Any) -> Iterator[wire.Stored]:
        """The answer of any other query, in its own order, held whole.

        Args:
            parent: the path of the document that the query is under; empty for the database.
            query: a protobuf `StructuredQuery`.
        """
        answer = scan.run_any_query(self.reader, self._resource(parent), query, self.read_time)
        self.reads += max(1, len(answer))  # an empty answer is billed as one read
        yield from answer

    def stream(self, parent: str, query: Any) -> Iterator[wire.Stored]:
        """The answer of a query that is ordered by name and has no limit, one document at a time."""
        for stored in scan.run_query(self.reader, self._resource(parent), query, self.read_time):
            self.reads += 1
            yield stored

    def aggregate(self, parent: str, aggregation: Any) -> dict[str, Any]:
        """The protobuf values, by alias, of a `StructuredAggregationQuery`; a read for every thousand documents."""
        if len(aggregation.aggregations) < _AGGREGATIONS:
            aggregation.aggregations.add(alias=_COUNT).count.SetInParent()
        request = wire.RunAggregationQueryRequest(
            parent=self._resource(parent),
            structured_aggregation_query=aggregation,
            read_time=wire.timestamp(self.read_time),
        )

        def attempt() -> dict[str, Any]:
            values: dict[str, Any] = {}
            for answer in self.reader.stream(
                "RunAggregationQuery", request, wire.RunAggregationQueryResponse, timeout=300
            ):
                values.update(answer.result.aggregate_fields)
            return values

        values: dict[str, Any] = patiently(attempt, "aggregate a query")
        documents = values.pop(_COUNT).integer_value if _COUNT in values else 0
        self.reads += max(1, -(-documents // 1000))
        return values

    def collection_ids(self, parent: str) -> Iterator[str]:
        """The ids of the collections under a document, or of the database's own where `parent` is empty."""
        request = wire.ListCollectionIdsRequest(parent=self._resource(parent))
        for page in self._pages("ListCollectionIds", request, wire.ListCollectionIdsResponse):
            self.reads += 1
            yield from page.collection_ids

    def names(self, parent: str, collection_id: str) -> Iterator[str]:
        """The paths in a collection, also of missing documents that only have subcollections."""
        request = wire.ListDocumentsRequest(
            parent=self._resource(parent), collection_id=collection_id, show_missing=True, page_size=300
        )
        request.mask.SetInParent()
        for page in self._pages("ListDocuments", request, wire.ListDocumentsResponse):
            for document in page.documents:
                self.reads += 1
                yield self.reader.path(document.name)

    def _count_one(self) -> None:
        self.reads += 1

    def _pages(self, method: str, request: Any, answer: Any) -> Iterator[Any]:
        request.read_time.CopyFrom(wire.timestamp(self.read_time))
        while True:
            page = patiently(lambda: self.reader.unary(method, request, answer, timeout=60), "list names")
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _resource(self, parent: str) -> str:
        return f"{self.reader.address.name}/documents" + (f"/{parent}" if parent else "")

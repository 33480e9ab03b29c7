"""Queries of a script: built by the official client's rules, answered at the run's read time.

An answer holds what the script has recorded by then, in the place where the server would put it, and never the audit.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from google.cloud.firestore import And, FieldFilter, Or
from google.cloud.firestore import Query as OfficialQuery
from google.cloud.firestore_v1.base_query import BaseCompositeFilter, BaseFilter
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import StructuredQuery as OfficialStructuredQuery

from firestore_migrations.authoring.client.answer import Answer
from firestore_migrations.authoring.client.reference import Snapshot, refuse_options
from firestore_migrations.errors import DocumentError
from firestore_migrations.firestore import values, wire
from firestore_migrations.firestore.scope import AUDIT_COLLECTION

if TYPE_CHECKING:
    from firestore_migrations.authoring.client.aggregation import Aggregation
    from firestore_migrations.authoring.database import Database


_OF_A_LIST = {"in", "not-in", "array_contains_any"}


class Query:
    """A query of the official client's shape; every method but the last ones gives a new query.

    Args:
        db: what it reads through.
        official: the same query of the official client, which only builds it.
    """

    ASCENDING = "ASCENDING"
    DESCENDING = "DESCENDING"

    def __init__(self, db: Database, official: Any) -> None:
        self._db = db
        self._official = official

    def where(
        self,
        field_path: str | None = None,
        op_string: str | None = None,
        value: Any = None,
        *,
        filter: Any = None,  # noqa: A002 -- as the official client
    ) -> Query:
        """Keep the documents for which a condition holds: a filter, or field path, operator and value."""
        if filter is None and field_path is not None and op_string is not None:
            filter = FieldFilter(field_path, op_string, value)  # noqa: A001
        elif field_path is not None or not isinstance(filter, BaseFilter):
            raise DocumentError(
                "where() takes a filter, or a field path, an operator and a value.",
                'Write where(filter=FieldFilter("status", "==", "open")).',
            )
        return self._with(self._official.where(filter=_exact(filter)))

    def order_by(self, field_path: str, direction: str = ASCENDING) -> Query:
        """Sort by a field; documents without it are left out."""
        return self._with(self._official.order_by(field_path, direction))

    def limit(self, count: int) -> Query:
        """Give no more than this many."""
        return self._with(self._official.limit(count))

    def limit_to_last(self, count: int) -> Query:
        """Give no more than this many, from the end."""
        return self._with(self._official.limit_to_last(count))

    def offset(self, num_to_skip: int) -> Query:
        """Leave out the first ones; each is still billed as a read."""
        return self._with(self._official.offset(num_to_skip))

    def start_at(self, document_fields_or_snapshot: Any) -> Query:
        """Begin with these values of the order's fields, or with a document."""
        return self._with(self._official.start_at(document_fields_or_snapshot))

    def start_after(self, document_fields_or_snapshot: Any) -> Query:
        """Begin behind these values of the order's fields, or behind a document."""
        return self._with(self._official.start_after(document_fields_or_snapshot))

    def end_at(self, document_fields_or_snapshot: Any) -> Query:
        """End with these values of the order's fields, or with a document."""
        return self._with(self._official.end_at(document_fields_or_snapshot))

    def end_before(self, document_fields_or_snapshot: Any) -> Query:
        """End before these values of the order's fields, or before a document."""
        return self._with(self._official.end_before(document_fields_or_snapshot))

    def select(self, field_paths: Iterable[str]) -> Query:
        """Read these fields alone."""
        return self._with(self._official.select(field_paths))

    def stream(self, **tuning: Any) -> Iterator[Snapshot]:
        """The documents, one at a time; what is recorded while they come does not change which come."""
        refuse_options(tuning)
        if self._official._limit_to_last:  # noqa: SLF001 -- the official client has no public name for it
            raise DocumentError("A query with limit_to_last() cannot be streamed.", "Use get() instead.")
        return self._snapshots()

    def get(self, **tuning: Any) -> list[Snapshot]:
        """The documents."""
        refuse_options(tuning)
        found = list(self._snapshots())
        return found[::-1] if self._official._limit_to_last else found  # noqa: SLF001

    def __iter__(self) -> Iterator[Snapshot]:
        return self.stream()

    def count(self, alias: str | None = None) -> Aggregation:
        """How many documents there are: `query.count().get()[0][0].value`."""
        return self._aggregation().count(alias)

    def sum(self, field_ref: str, alias: str | None = None) -> Aggregation:
        """The sum of a field's numbers."""
        return self._aggregation().sum(field_ref, alias)

    def avg(self, field_ref: str, alias: str | None = None) -> Aggregation:
        """The mean of a field's numbers."""
        return self._aggregation().avg(field_ref, alias)

    def answer(self) -> Answer:
        """What the query asks, and the means to find it out."""
        official = self._official
        parent = "/".join(official._parent._path[:-1])  # noqa: SLF001
        drafts, base = self._db._drafts, self._db._base  # noqa: SLF001
        is_from_end = official._limit_to_last  # noqa: SLF001
        return Answer(drafts, base, parent, _protobuf(official), is_from_end=is_from_end)

    def _snapshots(self) -> Iterator[Snapshot]:
        for path, source in self.answer().documents():
            yield Snapshot(self._db, path, source)

    def _aggregation(self) -> Aggregation:
        from firestore_migrations.authoring.client.aggregation import Aggregation

        return Aggregation(self)

    def _with(self, official: Any) -> Query:
        return Query(self._db, official)


def group(db: Database, collection_id: str) -> Query:
    """A query over every collection of an id, wherever it is.

    Raises:
        DocumentError: it is a path, or the audit's.
    """
    if not collection_id or "/" in collection_id or collection_id == AUDIT_COLLECTION:
        raise DocumentError(
            f"{collection_id!r} is not the id of a collection group.",
            'Name it like db.collection_group("invoices").',
        )
    return Query(db, OfficialQuery(client_of(db).collection(collection_id), all_descendants=True))


def client_of(db: Database) -> Any:
    """The official client that builds the queries of a database, and cannot write."""
    address = db._base.at.reader.address  # noqa: SLF001
    return db._base.codec.client(address.project, address.database)  # noqa: SLF001


class _Exact(FieldFilter):
    """A filter whose value is encoded by our codec: the official one moves times before 1970."""

    def __init__(self, filter: FieldFilter) -> None:  # noqa: A002
        self.field_path, self.value, self.op_string = filter.field_path, filter.value, filter.op_string

    def _to_pb(self) -> Any:
        message: Any = super()._to_pb()
        if isinstance(message, OfficialStructuredQuery.FieldFilter):
            exact = OfficialStructuredQuery.FieldFilter.pb(message).value
            path = str(self.field_path)
            if self.op_string in _OF_A_LIST:  # which, unlike a field, may hold arrays
                items = [values.encode(item, path) for item in self.value]
                exact.CopyFrom(wire.Value(array_value=wire.ArrayValue(values=items)))
            else:
                exact.CopyFrom(values.encode(self.value, path))
        return message


def _exact(filter: Any) -> Any:  # noqa: A002
    if isinstance(filter, BaseCompositeFilter):
        kind = Or if isinstance(filter, Or) else And
        return kind([_exact(inner) for inner in filter.filters])
    return _Exact(filter)


def _protobuf(official: Any) -> Any:
    """The plain protobuf query, its cursors encoded by our codec."""
    plain = official._copy()  # noqa: SLF001 -- the official client has no public way to a query's protobuf
    orders = official._normalize_orders()  # noqa: SLF001
    plain._orders, plain._start_at, plain._end_at = orders, None, None  # noqa: SLF001
    query = OfficialStructuredQuery.pb(plain._to_protobuf())  # noqa: SLF001
    for name, cursor in (("start_at", official._start_at), ("end_at", official._end_at)):  # noqa: SLF001
        if cursor is not None:
            fields, before = official._normalize_cursor(cursor, orders)  # noqa: SLF001
            getattr(query, name).before = before
            for order, value in zip(orders, fields, strict=False):
                path = order.field.field_path
                exact = values.encode(value, FieldPath.from_string(path).to_api_repr())
                getattr(query, name).values.add().CopyFrom(exact)
    return query

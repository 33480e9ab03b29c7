"""Aggregations of a script: count, sum and mean, in the official client's shape."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.cloud.firestore_v1.base_aggregation import AggregationResult
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import StructuredAggregationQuery

from firestore_migrations.authoring.client.reference import refuse_options
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.query import field_of

if TYPE_CHECKING:
    from firestore_migrations.authoring.client.answer import Answer
    from firestore_migrations.authoring.client.query import Query

_Request: Any = StructuredAggregationQuery.pb()
_INT64 = 2**63


class Aggregation:
    """What to work out over a query's documents; more can be added, and one request answers all.

    Args:
        query: whose documents count.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._wanted: list[tuple[str, str, str]] = []

    def count(self, alias: str | None = None) -> Aggregation:
        """Also how many there are."""
        return self._add("count", "", alias)

    def sum(self, field_ref: Any, alias: str | None = None) -> Aggregation:
        """Also the sum of a field's numbers."""
        return self._add("sum", field_ref, alias)

    def avg(self, field_ref: Any, alias: str | None = None) -> Aggregation:
        """Also the mean of a field's numbers."""
        return self._add("avg", field_ref, alias)

    def get(self, **tuning: Any) -> list[list[AggregationResult]]:
        """The results as the official client gives them: one list, with one result for each aggregation.

        The server adds up where it can. Where documents were recorded that it does not know, they are read.
        """
        refuse_options(tuning)
        answer = self._query.answer()
        found = self._of_server(answer) if answer.is_the_servers else self._of_documents(answer)
        base = self._query._db._base  # noqa: SLF001 -- the script's side of Database
        read_time = base.codec.time(wire.timestamp(base.at.read_time))
        aliases = [alias for _, _, alias in self._wanted]
        return [[AggregationResult(alias, found[alias], read_time) for alias in aliases]]

    def stream(self, **tuning: Any) -> Iterator[list[AggregationResult]]:
        """The same, as an iterator."""
        return iter(self.get(**tuning))

    def _add(self, kind: str, field: Any, alias: str | None) -> Aggregation:
        path: str = field.to_api_repr() if isinstance(field, FieldPath) else str(field)
        self._wanted.append((kind, path, alias or f"field_{len(self._wanted) + 1}"))
        return self

    def _of_server(self, answer: Answer) -> dict[str, Any]:
        request = _Request()
        for kind, field, alias in self._wanted:
            aggregation = request.aggregations.add(alias=alias)
            getattr(aggregation, kind).SetInParent()
            if field:
                getattr(aggregation, kind).field.field_path = field
        values = answer.aggregate(request)
        return {alias: value.integer_value or value.double_value for alias, value in values.items()}  # as officially

    def _of_documents(self, answer: Answer) -> dict[str, Any]:
        fields = {field for _, field, _ in self._wanted if field}
        count = 0
        numbers: dict[str, list[float]] = {field: [] for field in fields}
        for _, source in answer.documents():
            document = wire.Document.FromString(source.raw) if type(source) is wire.Stored else source
            values: dict[str, Any] = {field: field_of(document, field) for field in fields}
            if None in values.values():
                continue  # the server leaves out documents that lack a field of any aggregation
            count += 1
            for field, value in values.items():
                kind = value.WhichOneof("value_type")
                if kind in {"integer_value", "double_value"}:
                    numbers[field].append(getattr(value, kind))
        results: dict[str, Any] = {"count": lambda _: count, "sum": lambda field: _total(numbers[field])}
        results["avg"] = lambda field: sum(numbers[field]) / len(numbers[field]) if numbers[field] else 0.0
        return {alias: results[kind](field) or 0.0 for kind, field, alias in self._wanted}


def _total(numbers: list[float]) -> float:
    """The sum; integers that outgrow 64 bits become a double, as on the server."""
    total = sum(numbers)
    return float(total) if isinstance(total, int) and not -_INT64 <= total < _INT64 else total

"""A window's order: the documents whose timestamp field lies in an interval, by that field, and where they go on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore import filters, wire
from firestore_migrations.firestore.scope import Scope

_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999, in microseconds


@dataclass(frozen=True)
class WindowOrder:
    """How a query takes one interval of a scope's window.

    Attributes:
        scope: whose.
        start: the first instant, in microseconds since 1970.
        end: the first behind it.
    """

    scope: Scope
    start: int
    end: int

    @cached_property
    def conditions(self) -> tuple[filters.Condition, ...]:
        """The field is a timestamp in the interval: a comparison with a time never matches another type."""
        return _at_least(self.scope, self.start), _compared(self.scope, "<", self.end)

    @property
    def order(self) -> Any:
        """The query's first order, as protobuf; names come second."""
        order = wire.StructuredQuery.Order(direction=wire.StructuredQuery.ASCENDING)
        order.field.field_path = self.conditions[0].written_path
        return order

    def value_in(self, stored: wire.Stored) -> Any:
        """The field's value in a document of the answer."""
        fields = wire.Document.FromString(stored.raw).fields
        return filters.find(self.conditions[0].field_path, fields)

    def missing_index(self) -> ConfigurationError:
        """Why the server does not answer, and what makes the index that it asks for."""
        scope, field = self.scope, self.conditions[0].written_path
        equal = [condition.written_path for condition in filters.conditions(scope.where) if condition.is_equality]
        is_everywhere = scope.group or scope.has_wildcard
        breadth = "COLLECTION_GROUP" if is_everywhere else "COLLECTION"
        if equal:
            configs = " ".join(f"--field-config=field-path={name},order=ascending" for name in (*equal, field))
            index = f"a composite index of {', '.join((*equal, field))}"
            command = (
                f"gcloud firestore indexes composite create --collection-group={scope.collection_id} "
                f"--query-scope={breadth.lower().replace('_', '-')} {configs}"
            )
        else:
            index = f"a single-field index of {field}, ascending, with the scope {breadth}"
            command = (
                f"gcloud firestore indexes fields update {field} --collection-group={scope.collection_id} "
                f"--index=order=ascending,query-scope={breadth.lower().replace('_', '-')}"
            )
        return ConfigurationError(
            f"Firestore has no index for windows of {scope.collection} by {field}: it needs {index}.",
            f"Make it with `{command}`, wait until it is built, then clear the task.",
            code="FAILED_PRECONDITION",
            field=field,
        )


def timestamps_of(scope: Scope) -> tuple[filters.Condition, ...]:
    """What holds for every document whose window field is a timestamp at all."""
    return _at_least(scope, _FIRST), _compared(scope, "<=", _LAST)


def _at_least(scope: Scope, microseconds: int) -> filters.Condition:
    return _compared(scope, ">=", microseconds)


def _compared(scope: Scope, op: str, microseconds: int) -> filters.Condition:
    value = wire.Value(timestamp_value=wire.timestamp(microseconds))
    return filters.Condition(filters.parts_of(scope.window), op, value)

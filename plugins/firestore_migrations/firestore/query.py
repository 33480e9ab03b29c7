"""A query, asked of documents here as the server answers it: which match, in what order, within what cursors.

What a script has recorded is in no index of the server, and its queries must see it all the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

from firestore_migrations.firestore import wire
from firestore_migrations.firestore.fields import parts_of
from firestore_migrations.firestore.filters import Condition, matches
from firestore_migrations.firestore.ordering import name_key, order_key

NAME = "__name__"
_ASCENDING, _DESCENDING = wire.StructuredQuery.ASCENDING, wire.StructuredQuery.DESCENDING
_AND = wire.StructuredQuery.CompositeFilter.AND
_OPERATORS = {
    "EQUAL": "==",
    "NOT_EQUAL": "!=",
    "LESS_THAN": "<",
    "LESS_THAN_OR_EQUAL": "<=",
    "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
    "IN": "in",
    "NOT_IN": "not-in",
    "ARRAY_CONTAINS": "array_contains",
    "ARRAY_CONTAINS_ANY": "array_contains_any",
}
_UNARY = {
    "IS_NULL": ("==", wire.Value(null_value=0)),
    "IS_NOT_NULL": ("!=", wire.Value(null_value=0)),
    "IS_NAN": ("==", wire.Value(double_value=float("nan"))),
    "IS_NOT_NAN": ("!=", wire.Value(double_value=float("nan"))),
}
_INEQUALITIES = {"!=", "<", "<=", ">", ">=", "not-in"}
Predicate = Callable[[Any], bool]
Key = tuple[Any, ...]
Entry = tuple[Key, str]
"""A document's key in the order of a query, and its path."""


@total_ordering
@dataclass(frozen=True, eq=True)
class _Descending:
    """A key that sorts the other way round."""

    key: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.key < self.key)


class Asked:
    """One query, with every order that the server only implies written out.

    Attributes:
        query: the protobuf `StructuredQuery`, without limit, offset and projection.
        is_by_name: whether documents come in the ascending order of their names alone.
        equalities: the field paths and keys of conditions that are plain equalities and must hold.
        shape: the same for all queries that differ in the values of equalities and in cursors alone.

    Args:
        query: as the author built it.
        path: gives the path of a resource name.
        is_from_end: ask for the same documents from the other end.
    """

    def __init__(self, query: Any, path: Callable[[str], str], *, is_from_end: bool = False) -> None:
        self.query = wire.StructuredQuery()
        self.query.CopyFrom(query)
        for field in ("limit", "offset", "select"):
            self.query.ClearField(field)
        self._path = path
        self._write_out_orders()
        if is_from_end:
            self._turn_round()
        orders = self.query.order_by
        self.is_by_name = orders[0].field.field_path == NAME and orders[0].direction == _ASCENDING
        self._orders = [(parts_of(order.field.field_path), order.direction == _DESCENDING) for order in orders]
        equal, self._rest = _split(self.query)
        self.equalities = {path: order_key(condition.value) for path, condition in equal.items()}
        self._predicate = _all([_compiled(item) for item in self._rest])

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the documents of a layer are indexed by."""
        rest = tuple(item.SerializeToString(deterministic=True) for item in self._rest)
        orders = tuple(order.SerializeToString() for order in self.query.order_by)
        return (tuple(self.equalities), rest, orders)

    def place(self, path: str, document: Any) -> tuple[Key, Key] | None:
        """The keys of the equalities' fields, and the one that sorts as the query does; None if it never matches."""
        found = [_field(document.fields, field) for field in self.equalities]
        if None in found or not self._predicate(document):
            return None
        key = self.key(path, document)
        return None if key is None else (tuple(map(order_key, found)), key)

    def key(self, path: str, document: Any) -> Key | None:
        """The key that sorts as the query does; None where the document lacks a field of the order."""
        keys: list[Any] = []
        for field, is_descending in self._orders:
            if field == (NAME,):
                key = name_key(path)
            else:
                value = _field(document.fields, field)
                if value is None:
                    return None
                key = order_key(value)
            keys.append(_Descending(key) if is_descending else key)
        return tuple(keys)

    def between_cursors(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The part of sorted entries that lies between the query's cursors."""
        low, high = 0, len(entries)
        if self.query.HasField("start_at"):
            low = self._position(entries, self.query.start_at)
        if self.query.HasField("end_at"):
            high = self._position(entries, self.query.end_at)
        return entries[low:high]

    def resume_after(self, document: Any) -> None:
        """Let the query itself begin behind a document."""
        cursor = self.query.start_at
        cursor.Clear()
        cursor.before = False
        for field, _ in self._orders:
            if field == (NAME,):
                cursor.values.add(reference_value=document.name)
            else:
                cursor.values.add().CopyFrom(_field(document.fields, field))

    def _position(self, entries: Sequence[Entry], cursor: Any) -> int:
        keys = []
        for value, (field, is_descending) in zip(cursor.values, self._orders, strict=False):
            key = name_key(self._path(value.reference_value)) if field == (NAME,) else order_key(value)
            keys.append(_Descending(key) if is_descending else key)
        prefix = tuple(keys)
        find = bisect_left if cursor.before else bisect_right
        return find(entries, prefix, key=lambda entry: entry[0][: len(prefix)])

    def _turn_round(self) -> None:
        first = wire.StructuredQuery()
        first.CopyFrom(self.query)
        for order in self.query.order_by:
            order.direction = _ASCENDING if order.direction == _DESCENDING else _DESCENDING
        for mine, theirs in (("start_at", "end_at"), ("end_at", "start_at")):
            self.query.ClearField(mine)
            if first.HasField(theirs):
                getattr(self.query, mine).CopyFrom(getattr(first, theirs))
                getattr(self.query, mine).before = not getattr(first, theirs).before

    def _write_out_orders(self) -> None:
        """As the server implies them: fields of inequalities, then the name, in the direction of the last order."""
        orders = self.query.order_by
        named = {order.field.field_path for order in orders}
        direction = orders[-1].direction if orders else _ASCENDING
        implied = sorted(set(_inequality_fields(self.query.where)) - {NAME} - named)
        for field in [*implied, NAME]:
            if NAME not in named and field not in named:
                orders.add(direction=direction).field.field_path = field


def projected(document: Any, projection: Any) -> Any:
    """The document with the selected fields alone."""
    result = wire.Document(name=document.name)
    for time in ("create_time", "update_time"):
        if document.HasField(time):
            getattr(result, time).CopyFrom(getattr(document, time))
    for selected in projection.fields:
        path = parts_of(selected.field_path)
        value = _field(document.fields, path)
        if value is not None:
            fields = result.fields
            for name in path[:-1]:
                fields = fields[name].map_value.fields
            fields[path[-1]].CopyFrom(value)
    return result


def field_of(document: Any, path: str) -> Any | None:
    """The stored value at a field path as Firestore writes it; None where it is missing."""
    return _field(document.fields, parts_of(path))


def _field(fields: Any, path: tuple[str, ...]) -> Any | None:
    value = None
    for name in path:
        if name not in fields:
            return None
        value = fields[name]
        fields = value.map_value.fields
    return value


def _split(query: Any) -> tuple[dict[tuple[str, ...], Condition], list[Any]]:
    """The plain equalities that must all hold, at most one a field; and the rest of the filters."""
    equal: dict[tuple[str, ...], Condition] = {}
    rest: list[Any] = []
    for item in _conjuncts(query.where) if query.HasField("where") else ():
        condition = _condition(item)
        if condition is None or condition.op != "==" or condition.field_path in {(NAME,), *equal}:
            rest.append(item)
        else:
            equal[condition.field_path] = condition
    return equal, rest


def _conjuncts(item: Any) -> Iterator[Any]:
    if item.HasField("composite_filter") and item.composite_filter.op == _AND:
        for inner in item.composite_filter.filters:
            yield from _conjuncts(inner)
    else:
        yield item


def _condition(item: Any) -> Condition | None:
    """The condition of a simple filter; None for a composite one."""
    kind = item.WhichOneof("filter_type")
    if kind == "composite_filter":
        return None
    simple = getattr(item, kind)
    operator = type(simple).Operator.Name(simple.op)
    op, value = _UNARY[operator] if kind == "unary_filter" else (_OPERATORS[operator], simple.value)
    return Condition(parts_of(simple.field.field_path), op, value)


def _compiled(item: Any) -> Predicate:
    condition = _condition(item)
    if condition is None:
        inner = [_compiled(part) for part in item.composite_filter.filters]
        return _all(inner) if item.composite_filter.op == _AND else _any(inner)
    if condition.field_path == (NAME,):
        return lambda document: matches(condition, {NAME: wire.Value(reference_value=document.name)})
    return lambda document: matches(condition, document.fields)


def _all(predicates: list[Predicate]) -> Predicate:
    return lambda document: all(predicate(document) for predicate in predicates)


def _any(predicates: list[Predicate]) -> Predicate:
    return lambda document: any(predicate(document) for predicate in predicates)


def _inequality_fields(item: Any) -> Iterator[str]:
    kind = item.WhichOneof("filter_type")
    if kind == "composite_filter":
        for inner in item.composite_filter.filters:
            yield from _inequality_fields(inner)
    elif kind is not None:
        condition = _condition(item)
        if condition is not None and condition.op in _INEQUALITIES:
            yield getattr(item, kind).field.field_path

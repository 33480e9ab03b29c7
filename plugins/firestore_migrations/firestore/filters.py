# ruff: noqa: TID253 - loaded only when documents are read or planned, never while a DAG is parsed
"""Filters: the conditions of a scope, asked of a raw document exactly as the server would, or sent to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from google.cloud.firestore_v1.base_query import And, BaseCompositeFilter
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import query

from firestore_migrations.errors import BadStep, InvalidValue
from firestore_migrations.firestore.ordering import order_key, type_class
from firestore_migrations.firestore.values import Value, encode, is_vector

Filter: Any = query.StructuredQuery.Filter.pb()
_Operator: Any = query.StructuredQuery.FieldFilter.Operator
_Unary: Any = query.StructuredQuery.UnaryFilter.Operator

_OPERATORS = {
    "==": _Operator.EQUAL,
    "!=": _Operator.NOT_EQUAL,
    "<": _Operator.LESS_THAN,
    "<=": _Operator.LESS_THAN_OR_EQUAL,
    ">": _Operator.GREATER_THAN,
    ">=": _Operator.GREATER_THAN_OR_EQUAL,
    "in": _Operator.IN,
    "not-in": _Operator.NOT_IN,
    "array_contains": _Operator.ARRAY_CONTAINS,
    "array_contains_any": _Operator.ARRAY_CONTAINS_ANY,
}
_OTHER_SPELLINGS = {
    "array-contains": "array_contains",
    "array-contains-any": "array_contains_any",
    "not_in": "not-in",
    _Unary.IS_NULL: "==",
    _Unary.IS_NAN: "==",
    _Unary.IS_NOT_NULL: "!=",
    _Unary.IS_NOT_NAN: "!=",
}
_OF_A_LIST = {"in", "not-in", "array_contains_any"}
_EQUALITIES = {"==", "!="}
_NULL, _NAN = order_key(encode(None, "")), order_key(encode(float("nan"), ""))
_INCOMPARABLE = frozenset({_NULL, _NAN})
_EXAMPLE = "Write FieldFilter('status', '==', 'open') or ('status', '==', 'open')."


@dataclass(frozen=True)
class Condition:
    """One comparison of a field with a value, as a query makes it.

    Args:
        field_path: the keys that lead to the field; none of them is quoted.
        op: the official client's spelling of the operator.
        value: a protobuf `Value`; an array of the alternatives for `in`, `not-in` and `array_contains_any`.
    """

    field_path: tuple[str, ...]
    op: str
    value: Any = field(hash=False)

    @cached_property
    def operand(self) -> Any:
        """What a field's `order_key` is compared with: one key, or a set of keys; None matches nothing."""
        if self.op in _OF_A_LIST:
            keys = frozenset(order_key(item) for item in self.value.array_value.values)
            return None if self.op == "not-in" and _NULL in keys else keys - _INCOMPARABLE
        key = order_key(self.value)
        return None if key in _INCOMPARABLE and self.op not in _EQUALITIES else key

    @property
    def is_equality(self) -> bool:
        """Whether a query with this condition needs no order of its own."""
        return self.op == "=="

    @property
    def written_path(self) -> str:
        """The field path as Firestore spells it, quoted where it must be."""
        return str(FieldPath(*self.field_path).to_api_repr())


def conditions(where: Iterable[Any]) -> tuple[Condition, ...]:
    """The conditions that must all hold, in order.

    Args:
        where: `FieldFilter`s and `And`s of the official client, or `(field, op, value)`.

    Raises:
        BadStep: an element is something else, an `Or`, or a comparison that Firestore does not have.
    """
    return tuple(_condition(*parts) for item in where for parts in _parts(item))


def parts_of(path: Any) -> tuple[str, ...]:
    """The keys that lead to a field, by its path as Firestore writes it.

    Raises:
        BadStep: it is no field path.
    """
    return _condition(path, "!=", None).field_path


def matches(condition: Condition, fields: Mapping[str, Any]) -> bool:
    """Whether a query with this condition would return the document; a missing field never matches.

    Args:
        condition: what is asked.
        fields: the protobuf fields of the document.
    """
    found = find(condition.field_path, fields)
    operand = condition.operand
    if found is None or operand is None:
        return False
    return _MATCHERS[condition.op](order_key(found), operand)


def find(field_path: tuple[str, ...], fields: Mapping[str, Any]) -> Any:
    """The value at a field path, or None; a path does not lead into a vector."""
    found = None
    for key in field_path:
        if key not in fields or (found is not None and is_vector(found)):
            return None
        found = fields[key]
        fields = found.map_value.fields
    return found


def as_proto(condition: Condition) -> Any:
    """The condition as the protobuf filter of a query; equality with null and NaN takes the unary form."""
    result = Filter()
    if condition.op in _EQUALITIES and condition.operand in _INCOMPARABLE:
        is_not = "" if condition.op == "==" else "NOT_"
        result.unary_filter.op = _Unary[f"IS_{is_not}{'NULL' if condition.operand == _NULL else 'NAN'}"]
        result.unary_filter.field.field_path = condition.written_path
        return result
    result.field_filter.op = _OPERATORS[condition.op]
    result.field_filter.field.field_path = condition.written_path
    result.field_filter.value.CopyFrom(condition.value)
    return result


def _parts(item: Any) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(item, And):
        for inner in item.filters:
            yield from _parts(inner)
    elif isinstance(item, BaseCompositeFilter):
        raise BadStep(
            "A step's `where` has an Or; its conditions must all hold.",
            "Write ('status', 'in', [...]), test inside the function, or use one step an alternative.",
        )
    elif all(hasattr(item, name) for name in ("field_path", "op_string", "value")):
        yield item.field_path, item.op_string, item.value
    elif isinstance(item, (tuple, list)) and len(item) == 3:
        yield item[0], item[1], item[2]
    else:
        raise BadStep(f"A condition in a step's `where` cannot be a {type(item).__name__}.", _EXAMPLE)


def _condition(path: Any, op: Any, value: Any) -> Condition:
    op = _OTHER_SPELLINGS.get(op, op) if isinstance(op, (str, int)) else repr(op)
    try:
        parsed = path if isinstance(path, FieldPath) else FieldPath.from_string(path)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadStep(f"A condition names {path!r}, which is not a field path.", _EXAMPLE) from error
    where = f"The condition on {parsed.to_api_repr()!r}"
    if parsed.parts == ("__name__",):
        raise BadStep(f"{where} selects documents by name.", "Name the collection, and test `user.id` inside.")
    if op not in _OPERATORS:
        raise BadStep(f"{where} has the operator {op!r}.", f"Firestore has {', '.join(_OPERATORS)}.")
    try:
        condition = Condition(parsed.parts, op, encode(value, parsed.to_api_repr()))
    except InvalidValue as error:
        raise BadStep(f"{where} compares with what Firestore cannot hold: {error.what}", error.next_step) from error
    if op in _OF_A_LIST and not condition.value.array_value.values:
        raise BadStep(f"{where} needs a list for {op!r} that is not empty.", "Write like ['open', 'late'].")
    if condition.operand is None:
        remedy = "Leave null out of the list." if op in _OF_A_LIST else "Write '==' or '!='."
        raise BadStep(f"{where} compares null or NaN with {op!r}, which matches nothing.", remedy)
    return condition


def _same_class(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda found, operand: type_class(found) == type_class(operand) and compare(found, operand)


def _elements(found: Any) -> tuple[Any, ...]:
    return found[1] if type_class(found) == _ARRAY else ()


_ARRAY = type_class(order_key(Value(array_value={})))

_MATCHERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda found, operand: found == operand,
    "!=": lambda found, operand: found not in {operand, _NULL},
    "<": _same_class(lambda found, operand: found < operand),
    "<=": _same_class(lambda found, operand: found <= operand),
    ">": _same_class(lambda found, operand: found > operand),
    ">=": _same_class(lambda found, operand: found >= operand),
    "in": lambda found, operand: found in operand,
    "not-in": lambda found, operand: found not in operand and found != _NULL,
    "array_contains": lambda found, operand: operand in _elements(found),
    "array_contains_any": lambda found, operand: not operand.isdisjoint(_elements(found)),
}

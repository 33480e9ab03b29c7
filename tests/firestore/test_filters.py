"""A condition asked here returns the documents that a query with it returns."""

from __future__ import annotations

import pickle

import pytest
from google.cloud.firestore import And, FieldFilter, Or
from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.vector import Vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firestore_migrations.errors import BadStep
from firestore_migrations.firestore.filters import Condition, as_proto, conditions, matches
from firestore_migrations.firestore.values import encode, encode_fields
from tests.firestore import any_value

on_the_server = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
OF_ONE = ["==", "!=", "<", "<=", ">", ">=", "array_contains"]
OF_MANY = ["in", "not-in", "array_contains_any"]


@st.composite
def worlds(draw):
    """Values of documents, and conditions whose operands are often among them."""
    values = draw(st.lists(any_value.values, min_size=1, max_size=25))
    inner = [item for value in values if isinstance(value, list) for item in value]
    operands = st.sampled_from(values + inner) | any_value.scalars
    in_lists = operands.filter(lambda value: not isinstance(value, (list, Vector)))
    many = st.lists(in_lists, min_size=1, max_size=5)
    one = st.tuples(st.sampled_from(OF_ONE), operands)
    return values, draw(st.lists(one | st.tuples(st.sampled_from(OF_MANY), many), min_size=5, max_size=10))


@given(worlds())
@on_the_server
def test_every_operator_selects_what_the_server_selects(server, world):
    values, asked = world
    documents = [{"f": encode(value, "f")} for value in values]
    collection = server.put_all(fields["f"] for fields in documents)
    for op, operand in asked:
        if op == "array_contains" and isinstance(operand, (list, Vector)):
            continue
        condition = Condition(("f",), op, encode(operand, "f"))
        ours = [f"{index:03}" for index, fields in enumerate(documents) if matches(condition, fields)]
        assert sorted(server.ids(collection, as_proto(condition))) == ours, (op, operand)


NESTED = {
    "000": {"a": {"b": 1}},
    "001": {"a": {"b": None}},
    "002": {"a": {"b": float("nan")}},
    "003": {"a": 1},
    "004": {"a": [{"b": 1}]},
    "005": {"a.b": 1, "a": {}},
    "006": {"a": Vector([1.0])},
    "007": {"1 `x\\": {"a.b": 1}},
    "008": {"a": {"b": [1, 2]}},
    "009": {},
}


@pytest.mark.parametrize("path", ["a", "a.b", "`a.b`", "`1 \\`x\\\\`.`a.b`", "a.value", "missing"])
@pytest.mark.parametrize(
    ("op", "value"),
    [
        ("==", 1),
        ("!=", 1),
        ("!=", 7),
        (">", 0),
        ("==", None),
        ("!=", None),
        ("==", float("nan")),
        ("!=", float("nan")),
        ("in", [1, None]),
        ("not-in", [7]),
        ("not-in", [7, float("nan")]),
        ("array_contains", 1),
    ],
)
def test_a_path_leads_where_the_server_goes(server, path, op, value):
    documents = {name: encode_fields(fields) for name, fields in NESTED.items()}
    server.put({f"c/{name}": fields for name, fields in documents.items()})
    (condition,) = conditions([(path, op, value)])
    ours = [name for name, fields in documents.items() if matches(condition, fields)]
    assert sorted(server.ids("c", as_proto(condition))) == ours


def spelled(where):
    return [(condition.field_path, condition.op, condition.value) for condition in conditions(where)]


@pytest.mark.parametrize(
    ("given_filter", "op", "value"),
    [
        (FieldFilter("a.b", "==", 1), "==", 1),
        (FieldFilter("a.b", "==", None), "==", None),
        (FieldFilter("a.b", "!=", None), "!=", None),
        (FieldFilter("a.b", "in", [1, 2]), "in", [1, 2]),
        (("a.b", "array-contains", 1), "array_contains", 1),
        (("a.b", "array-contains-any", [1]), "array_contains_any", [1]),
        (["`a`.b", "not_in", (1,)], "not-in", [1]),
        ((FieldPath("a", "b"), "<=", 1), "<=", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_official_filters_and_plain_tuples_mean_the_same(given_filter, op, value):
    assert spelled([given_filter]) == [(("a", "b"), op, encode(value, "f"))]


@pytest.mark.parametrize(("op", "is_not"), [("==", "IS_NAN"), ("!=", "IS_NOT_NAN")])
def test_nan_takes_the_unary_form(op, is_not):
    (condition,) = conditions([FieldFilter("a", op, float("nan"))])
    unary = as_proto(condition).unary_filter
    assert type(unary).DESCRIPTOR.enum_types_by_name["Operator"].values_by_number[unary.op].name == is_not


def test_an_and_is_flattened():
    inner = And([FieldFilter("b", ">", 2), And([FieldFilter("c", "==", 3)])])
    where = [FieldFilter("a", "==", 1), inner]
    assert [path for path, _, _ in spelled(where)] == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize(
    "where",
    [
        Or([FieldFilter("a", "==", 1), FieldFilter("b", "==", 2)]),
        "status == open",
        ("a", "=", 1),
        ("a", ["=="], 1),
        ("a..b", "==", 1),
        ("", "==", 1),
        (7, "==", 1),
        ("__name__", "==", "x"),
        ("a", "<", None),
        ("a", ">=", float("nan")),
        ("a", "not-in", [1, None]),
        ("a", "in", []),
        ("a", "in", 1),
        ("a", "==", {1, 2}),
        ("a", "==", 2**63),
        7,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_query_can_ask_is_refused(where):
    with pytest.raises(BadStep):
        conditions([where])


# pickle asks every loaded module for the class, and Airflow's deprecated ones answer with a warning
@pytest.mark.filterwarnings("ignore:The `airflow:FutureWarning")
def test_a_condition_can_be_sent_to_another_process_after_use():
    (condition,) = conditions([("a", "in", [1, "x"])])
    assert matches(condition, encode_fields({"a": 1}))
    copy = pickle.loads(pickle.dumps(condition))
    assert (copy, hash(copy)) == (condition, hash(condition))
    assert matches(copy, encode_fields({"a": "x"}))

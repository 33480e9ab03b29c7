"""Our order of values and of names is the server's."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import uuid4

from google.cloud.firestore import GeoPoint
from google.cloud.firestore_v1.vector import Vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firestore_migrations.firestore.ordering import name_key, order_key
from firestore_migrations.firestore.values import encode
from tests.firestore import any_value

on_the_server = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.lists(any_value.values, min_size=2, max_size=40))
@on_the_server
def test_values_of_all_types_sort_as_the_server_sorts_them(server, values):
    encoded = [encode(value, "f") for value in values]
    collection = server.put_all(encoded)
    expected = sorted(range(len(values)), key=lambda index: (order_key(encoded[index]), index))
    assert server.ids(collection, order="f") == [f"{index:03}" for index in expected]


@given(st.lists(any_value.integers | any_value.doubles, min_size=2, max_size=40))
@on_the_server
def test_integers_and_doubles_are_one_line_of_numbers_without_rounding(server, values):
    encoded = [encode(value, "f") for value in values]
    collection = server.put_all(encoded)
    expected = sorted(range(len(values)), key=lambda index: (order_key(encoded[index]), index))
    assert server.ids(collection, order="f") == [f"{index:03}" for index in expected]


def test_the_types_follow_each_other():
    ascending = [
        None,
        False,
        True,
        float("nan"),
        float("-inf"),
        2**53,
        2.0**53 + 2,
        datetime(9999, 1, 1, tzinfo=timezone.utc),
        "",
        "\uffff",
        "\U0001f600",
        b"",
        any_value.reference("projects/one/databases/(default)/documents/c/__id9__"),
        any_value.reference("projects/one/databases/(default)/documents/c/__id10__"),
        any_value.reference("projects/one/databases/(default)/documents/c/a"),
        GeoPoint(-90, 0),
        [],
        [None],
        Vector([9.0]),
        Vector([1.0, 1.0]),
        {},
        {"a": 1},
    ]
    keys = [order_key(encode(value, "f")) for value in ascending]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


_AWKWARD = [
    "a",
    "a-",
    "a b",
    "B",
    "1",
    "10",
    "2",
    "é",
    "\uffff",
    "\U0001f600",
    "\ue000",
    "__",
    "____",
    "\x00",
]
_ids = st.sampled_from([*_AWKWARD, "__id7__", "__id10__", "__id-3__", f"__id{2**63 - 1}__", f"__id-{2**63}__"])


@given(st.sets(st.tuples(_ids, _ids), min_size=2, max_size=30))
@on_the_server
def test_names_sort_as_the_server_sorts_them(server, pairs):
    group = f"g{uuid4().hex}"
    paths = [f"c/{parent}/{group}/{child}" for parent, child in pairs]
    server.put({path: {} for path in paths})
    found = server.query(group, order="__name__", group=True)
    assert [document.name.partition("/documents/")[2] for document in found] == sorted(paths, key=name_key)


def test_a_shorter_path_comes_before_what_lies_below_it():
    assert sorted(["c/b", "c/a-", "c/a/d/x", "c/a"], key=name_key) == ["c/a", "c/a/d/x", "c/a-", "c/b"]

"""The three-way merge: what the change wrote and still holds goes back, and what others wrote stays."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.firestore_v1.vector import Vector
from hypothesis import given
from hypothesis import strategies as st

from firestore_migrations.firestore.merge import Fields, merge
from firestore_migrations.firestore.values import canonical, decode, encode, same
from tests.firestore.any_value import keys, values

Data = dict[str, Any] | None
data = st.none() | st.dictionaries(keys.filter(lambda key: key != "__"), values, max_size=4)
trees = st.none() | st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(st.integers(0, 2), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_size=3,
)


def stored(fields: Data) -> Fields | None:
    return None if fields is None else {name: encode(value, name) for name, value in fields.items()}


def merged(before: Data, after: Data, present: Data) -> tuple[Data, tuple[tuple[str, ...], ...]]:
    fields, conflicts, _ = merge(stored(before), stored(after), stored(present))
    return None if fields is None else {name: decode(fields[name], str) for name in fields}, conflicts


@pytest.mark.parametrize(
    ("before", "after", "present", "result", "conflicts"),
    [
        pytest.param({"n": 1}, {"n": 2}, {"n": 2, "x": 0}, {"n": 1, "x": 0}, (), id="what holds goes back"),
        pytest.param({"n": 1}, {"n": 2}, {"n": 3, "x": 0}, {"n": 3, "x": 0}, (("n",),), id="what both wrote stays"),
        pytest.param({"n": 1}, {"n": 2}, {"n": 1, "x": 0}, {"n": 1, "x": 0}, (), id="what is back already stays"),
        pytest.param({"n": 1}, {"n": 1}, {"n": 3}, {"n": 3}, (), id="what the change did not touch stays"),
        pytest.param({"n": 1}, {}, {"x": 0}, {"n": 1, "x": 0}, (), id="a removed field comes back"),
        pytest.param({"n": 1}, {}, {"n": 5}, {"n": 5}, (("n",),), id="a removed field that others wrote stays"),
        pytest.param({}, {"n": 1}, {"n": 1, "x": 0}, {"x": 0}, (), id="an added field goes"),
        pytest.param({"n": 1}, {"n": 2}, {}, {}, (("n",),), id="a changed field that others removed stays away"),
        pytest.param({"m": {"a": 1}}, {"m": {"a": 2}}, {"m": {"a": 2, "b": 1}}, {"m": {"a": 1, "b": 1}}, (), id="maps"),
        pytest.param(
            {"m": {"a": 1, "b": 1}},
            {"m": {"a": 2, "b": 2}},
            {"m": {"a": 3, "b": 2}},
            {"m": {"a": 3, "b": 1}},
            (("m", "a"),),
            id="a conflict in a map is of one key",
        ),
        pytest.param({}, {"m": {"a": 1}}, {"m": {"a": 1, "b": 1}}, {"m": {"b": 1}}, (), id="others' part of a new map"),
        pytest.param({}, {"m": {"a": 1}}, {"m": {}}, {}, (), id="a new map of which nothing is left goes"),
        pytest.param({"m": {}}, {"m": {"a": 1}}, {"m": {"a": 1, "b": {}}}, {"m": {"b": {}}}, (), id="an old map stays"),
        pytest.param(
            {"m": 5}, {"m": {"a": 1}}, {"m": {"a": 1, "b": 1}}, {"m": {"a": 1, "b": 1}}, (("m",),), id="kinds"
        ),
        pytest.param({"l": [1]}, {"l": [1, 2]}, {"l": [1, 2, 3]}, {"l": [1, 2, 3]}, (("l",),), id="arrays are whole"),
        pytest.param(
            {"v": Vector([1.0])}, {"v": {"a": 1}}, {"v": {"b": 1}}, {"v": {"b": 1}}, (("v",),), id="vectors are whole"
        ),
        pytest.param({"n": 1}, {"n": 1.0}, {"n": 1.0, "x": 0}, {"n": 1, "x": 0}, (), id="types count"),
        pytest.param(None, {"n": 1}, {"n": 1}, None, (), id="what was created goes"),
        pytest.param(None, {"n": 1}, {"n": 1, "x": 0}, {"x": 0}, (), id="others' part of a created document stays"),
        pytest.param(None, {"n": 1, "k": 1}, {"n": 1}, None, (), id="nothing left of a created document"),
        pytest.param(None, {"n": 1}, None, None, (), id="what was created is gone"),
        pytest.param({"n": 1}, None, None, {"n": 1}, (), id="what was deleted comes back"),
        pytest.param({"n": 1}, None, {"n": 1}, {"n": 1}, (), id="what was deleted is back"),
        pytest.param({"n": 1}, None, {"n": 2}, {"n": 2}, ((),), id="what was deleted is another"),
        pytest.param({"n": 1}, {"n": 2}, None, None, ((),), id="what was changed is gone"),
    ],
)
def test_what_becomes_of_a_document(
    before: Data, after: Data, present: Data, result: Data, conflicts: tuple[tuple[str, ...], ...]
) -> None:
    assert merged(before, after, present) == (result, conflicts)


def test_it_tells_what_others_had_put_back_already() -> None:
    before, after = {"n": 1, "m": {"a": 1}, "k": 1}, {"n": 2, "m": {"a": 2}, "k": 2}

    merge_of_fields = merge(stored(before), stored(after), stored({**after, "n": 1, "m": {"a": 1, "b": 1}}))

    assert (merge_of_fields.conflicts, merge_of_fields.reverted) == ((), (("m", "a"), ("n",)))
    assert merge(None, stored(after), None) == (None, (), ((),))


@given(data, data)
def test_untouched_it_goes_back_byte_for_byte_and_unchanged_it_stays(one: Data, other: Data) -> None:
    before, after = stored(one), stored(other)
    assert merge(before, after, after).fields is before
    fields, conflicts, _ = merge(after, after, before)
    assert (fields is None) == (before is None)
    assert conflicts == ()
    assert fields is None or before is None or canonical(fields) == canonical(before) or same(fields, before)


@given(trees, trees, trees)
def test_a_second_merge_finds_nothing_to_take_out_but_what_it_left_alone(before: Data, after: Data, now: Data) -> None:
    first, conflicts = merged(before, after, now)
    assert merged(before, first, first) == (before, ())
    again, left_alone = merged(before, after, first)
    if not conflicts and first != after:
        assert (again, left_alone) == (first, ())


@given(trees, trees, trees)
def test_what_the_change_did_not_touch_stays_and_every_other_loss_is_a_conflict(
    before: Data, after: Data, now: Data
) -> None:
    """A field that differs from what is there now is one that held what the change left, and is as it was before."""
    result, conflicts = merged(before, after, now)
    for path in {*leaves(now), *leaves(result)}:
        if at(now, path) == at(result, path):
            continue
        assert not any(path[: len(conflict)] == conflict for conflict in conflicts)
        assert any(at(after, path[:length]) == at(now, path[:length]) for length in range(len(path) + 1))


def leaves(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return [] if tree is None else [path]
    return [leaf for name, inner in tree.items() for leaf in leaves(inner, (*path, name))]


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """What is at a path; nothing too where that is an empty map, which a change may have made and takes away again."""
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    return None if tree == {} else tree

"""A document as a migration sees it: lazy, changeable in place, and in the end only its differences count."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import firestore
from hypothesis import given
from hypothesis import strategies as st

from firestore_migrations import DELETE_FIELD
from firestore_migrations.errors import DocumentError, InvalidValue
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import change_of
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Address, Reader
from firestore_migrations.firestore.document import Document
from firestore_migrations.firestore.values import canonical, encode
from tests.firestore.any_value import keys, values

CODEC = Codec(Reader(Address("p", emulator_host="127.0.0.1:1")))
"""Nothing here is sent."""
NOW = wire.timestamp(0)


def stored(**fields: Any) -> Any:
    document = wire.Document(name=CODEC.full_name("c/a"))
    document.create_time.CopyFrom(wire.timestamp(1))
    document.update_time.CopyFrom(wire.timestamp(2_000_001))
    for name, value in fields.items():
        document.fields[name].CopyFrom(value if type(value) is wire.Value else encode(value, name))
    return document


def document(**fields: Any) -> Document:
    return Document("c/a", CODEC, stored(**fields))


def masks(changed: Document) -> list[str]:
    change = change_of(changed, NOW)
    return [] if change is None else list(wire.Write.FromString(change.write).update_mask.field_paths)


def test_it_is_a_mutable_mapping_in_the_order_of_names() -> None:
    one = document(b=1, a={"x": [1]}, c=None)
    assert (list(one), len(one), "a" in one, "z" in one, 1 in one) == (["a", "b", "c"], 3, True, False, False)
    assert (one["a"], one.get("z", 7), one.to_dict()) == ({"x": [1]}, 7, {"a": {"x": [1]}, "b": 1, "c": None})
    assert one == {"a": {"x": [1]}, "b": 1, "c": None}
    one["d"] = 1
    del one["b"]
    one.setdefault("c", 5)
    assert (list(one), one.pop("d"), len(one)) == (["a", "c", "d"], 1, 2)
    with pytest.raises(KeyError, match="b"):
        one["b"]
    with pytest.raises(KeyError, match="b"):
        del one["b"]
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_it_knows_its_name_and_times() -> None:
    one = Document("users/ada/invoices/7", CODEC, stored())
    assert (one.id, one.path) == ("7", "users/ada/invoices/7")
    assert one.reference == CODEC.client("p", "(default)").document("users/ada/invoices/7")
    assert (one.create_time.isoformat(), one.update_time.isoformat()) == (
        "1970-01-01T00:00:00.000001+00:00",
        "1970-01-01T00:00:02.000001+00:00",
    )
    assert Document("c/a", CODEC).update_time is None
    assert repr(one) == "<Document users/ada/invoices/7>"


def test_nested_values_change_in_place() -> None:
    one = document(m={"x": {"y": 1}, "z": 1}, l=[{"k": 1}, 2])
    one["m"]["x"]["y"] = 2
    one["l"][0]["k"] = 3
    one["l"].append(4)
    assert masks(one) == ["l", "m.x.y"]
    assert one["l"] == [{"k": 3}, 2, 4]


def test_a_field_that_cannot_be_decoded_hurts_nobody_who_does_not_touch_it() -> None:
    one = document(odd=wire.Value(), n=1)
    one["n"] = 2
    one.rename("odd", "strange")
    assert masks(one) == ["n", "odd", "strange"]
    with pytest.raises(InvalidValue):
        one["strange"]


def test_a_deleted_field_is_gone_and_can_come_back() -> None:
    for word in (DELETE_FIELD, firestore.DELETE_FIELD):
        one = document(a=1, b=2)
        one["a"] = word
        assert ("a" in one, one.get("a"), list(one), masks(one)) == (False, None, ["b"], ["a"])
        one["a"] = 1
        assert masks(one) == []
    one["never"] = DELETE_FIELD
    assert masks(one) == []


def test_clear_removes_everything_and_decodes_nothing() -> None:
    one = document(odd=wire.Value(), n=1)
    one["new"] = 1
    one.clear()
    assert (dict(one), masks(one)) == ({}, ["n", "odd"])


def test_renaming_twice_is_renaming_once_and_never_loses_a_value() -> None:
    one = document(a=1)
    one.rename("a", "b")
    one.rename("a", "b")
    one.rename("b", "b")
    one.rename("none", "b2")
    assert (dict(one), masks(one)) == ({"b": 1}, ["a", "b"])
    one.rename("b", "a")
    assert masks(one) == []
    two = document(a=1, b=2)
    with pytest.raises(DocumentError, match="c/a has both 'a' and 'b'"):
        two.rename("a", "b")
    two["a"] = [5]
    two.rename("a", "c")
    assert dict(two) == {"b": 2, "c": [5]}


def test_a_frozen_view_refuses_every_change_in_place() -> None:
    view = Document("c/a", CODEC, stored(a=1), is_frozen=True)
    changes: list[Any] = [
        lambda: view.__setitem__("a", 2),
        lambda: view.__delitem__("a"),
        lambda: view.update(b=1),
        lambda: view.pop("a"),
        view.clear,
        lambda: view.rename("a", "b"),
        lambda: view.setdefault("b", 1),
    ]
    for change in changes:
        with pytest.raises(DocumentError, match=r"c/a was read through db.get\(\)"):
            change()
    assert dict(view) == {"a": 1}


def test_a_name_that_is_no_text_is_absent() -> None:
    one = document(a=1)
    assert ("\ud800" in one, one.get("\ud800", 7)) == (False, 7)
    with pytest.raises(KeyError):
        del one["\ud800"]


@pytest.mark.parametrize("name", [1, None, b"a", ("a", "b")])
def test_a_name_that_is_no_string_is_refused(name: Any) -> None:
    with pytest.raises(DocumentError, match=f"not {type(name).__name__} .c/a."):
        document()[name] = 1


@given(st.dictionaries(keys.filter(lambda key: key != "__"), values, max_size=4))
def test_reading_everything_and_setting_it_back_is_no_change(fields: dict[str, Any]) -> None:
    one = document(**{name: encode(value, name) for name, value in fields.items()})
    for name in list(one):
        one[name] = one[name]
    assert masks(one) == []
    one["new"] = 1
    change = change_of(one, NOW)
    assert change is not None
    assert change.after is not None
    after = wire.Document.FromString(change.after)
    del after.fields["new"]
    assert canonical(after.fields) == canonical(one._stored.fields)

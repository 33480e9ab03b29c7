"""A change is the smallest write, and leaves on the server exactly what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firestore_migrations import DELETE_FIELD, SERVER_TIMESTAMP, ArrayUnion
from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import InvalidValue
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.change import Change, applied, change_of, deletion, written_paths
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Address, Writer
from firestore_migrations.firestore.document import Document
from firestore_migrations.firestore.fields import api_path, parts_of, same_fields
from firestore_migrations.firestore.values import encode, same
from tests.firestore.any_value import keys, values

NOW = wire.timestamp(1_700_000_000_000_000)
fields = st.dictionaries(keys.filter(lambda key: key != "__"), values, max_size=4)


class Place:
    """One document of the emulator, written over and over."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.codec = Codec(writer)
        self.name = writer.full_name("c/a")

    def put(self, data: dict[str, Any] | None) -> Any:
        write = wire.Write()
        if data is None:
            write.delete = self.name
        else:
            write.update.name = self.name
            for name, value in data.items():
                write.update.fields[name].CopyFrom(encode(value, name))
        self.writer.commit([write.SerializeToString()], 20)
        return self.get()

    def get(self) -> Any:
        stored = self.writer.get(["c/a"])[0]["c/a"]
        return None if stored is None else wire.Document.FromString(stored.raw)

    def commit(self, change: Change) -> Any:
        self.writer.commit([change.write], 20)
        return self.get()

    def change(self, stored: Any, data: dict[str, Any]) -> Change | None:
        document = Document("c/a", self.codec, stored)
        document._revive()
        document.clear()
        document.update(data)
        return change_of(document, NOW)


@pytest.fixture(scope="module")
def place(emulator: Emulator) -> Iterator[Place]:
    with Writer(Address("demo-change", emulator_host=emulator.host)) as writer:
        yield Place(writer)


@settings(max_examples=150)
@given(before=fields | st.none(), after=fields)
def test_the_server_ends_with_what_was_meant_and_so_does_our_own_image(
    place: Place, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    stored = place.put(before)
    change = place.change(stored, after)
    wanted = wire.Document(fields={name: encode(value, name) for name, value in after.items()})
    if change is None:
        assert same_fields(stored, wanted)
        return
    assert change.after is not None
    assert same_fields(wire.Document.FromString(change.after), wanted)
    assert same_fields(applied(stored, wire.Write.FromString(change.write)), wanted)
    found = place.commit(change)
    assert same_fields(found, wanted)
    assert wire.micros(found.update_time) != (stored and wire.micros(stored.update_time))


@settings(max_examples=60)
@given(before=fields | st.none(), after=fields)
def test_a_write_and_its_inverse_are_the_identity(
    place: Place, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    stored = place.put(before)
    change = place.change(stored, after)
    if change is None:
        return
    found = place.commit(change)
    inverse = deletion(place.name, found) if before is None else place.change(found, before)
    assert inverse is not None
    assert same_fields(place.commit(inverse), stored)


@settings(max_examples=60)
@given(data=fields)
def test_what_is_the_same_needs_no_write(place: Place, data: dict[str, Any]) -> None:
    assert place.change(place.put(data), data) is None


def test_a_write_holds_its_precondition(place: Place) -> None:
    stored = place.put({"n": 1})
    change = place.change(stored, {"n": 2})
    place.put({"n": 3})
    assert change is not None
    with pytest.raises(Exception, match="does not match the required base version"):
        place.commit(change)
    created = place.change(None, {"n": 4})
    assert created is not None
    with pytest.raises(Exception, match="already exists"):
        place.commit(created)
    with pytest.raises(Exception, match="does not match the required base version"):
        place.commit(deletion(place.name, stored))
    assert place.get().fields["n"].integer_value == 3


PATHS = [
    ("a",),
    ("a.b",),
    ("`",),
    ("a`b",),
    ("back\\slash",),
    ("1st",),
    ("é",),
    ("_",),
    (" ",),
    ("m", "a.b", "\\`"),
    ("\\", "a.b"),
]


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_the_server_reads_a_field_path_as_we_write_it(place: Place, path: tuple[str, ...]) -> None:
    data: Any = 1
    for name in reversed(path):
        data = {name: data}
    stored = place.put({**data, "other": 1})
    write = wire.Write()
    write.update.name = place.name
    write.update_mask.field_paths.append(api_path(path))
    write.current_document.update_time.CopyFrom(stored.update_time)
    place.writer.commit([write.SerializeToString()], 20)
    fields = place.get().fields
    for name in path[:-1]:
        fields = fields[name].map_value.fields
    assert (path[-1] in fields, "other" in place.get().fields) == (False, True)
    assert same_fields(applied(stored, write), place.get())
    assert written_paths(write) == [path]


@given(st.lists(keys.filter(bool), min_size=1, max_size=4).map(tuple))
def test_a_field_path_is_read_back_as_it_was_written(path: tuple[str, ...]) -> None:
    assert parts_of(api_path(path)) == path


def test_a_stamp_alone_is_a_write_that_leaves_everything_else(place: Place) -> None:
    stored = place.put({"n": 1, "m": {"at": 1, "k": 2}})
    change = place.change(stored, {"n": 1, "m": {"at": SERVER_TIMESTAMP, "k": 2}})
    assert change is not None
    assert (list(wire.Write.FromString(change.write).update_mask.field_paths), change.fields) == ([], ("m.at",))
    assert change.after is not None
    assert wire.Document.FromString(change.after).fields["m"].map_value.fields["at"].timestamp_value == NOW
    found = place.commit(change)
    assert found.fields["m"].map_value.fields["at"].HasField("timestamp_value")
    assert (found.fields["n"].integer_value, found.fields["m"].map_value.fields["k"].integer_value) == (1, 2)


def test_a_sentinel_inside_an_array_is_refused_by_its_field(place: Place) -> None:
    for value in ([SERVER_TIMESTAMP], [{"at": SERVER_TIMESTAMP}], {"l": [ArrayUnion([1])]}):
        with pytest.raises(InvalidValue, match="sentinel inside an array"):
            place.change(None, {"f": value})


def test_a_map_with_a_sentinel_in_it_is_refused_as_one_without(place: Place) -> None:
    deep: dict[str, Any] = {"at": SERVER_TIMESTAMP}
    for _ in range(20):
        deep = {"m": deep, "n": 1}
    itself: dict[str, Any] = {"at": SERVER_TIMESTAMP}
    itself["m"] = itself
    union: dict[str, Any] = {"a": ArrayUnion([{"a": {"b": {"c": 1}}}])}
    for _ in range(16):
        union = {"m": union}
    for value in (deep, itself, union):
        with pytest.raises(InvalidValue, match="more than 20 maps and arrays"):
            place.change(None, {"f": value})
    for key in ("", "__x__", "\ud800"):
        with pytest.raises(InvalidValue, match="'f'"):
            place.change(None, {"f": {key: 1, "at": SERVER_TIMESTAMP}})
    stored = place.put({"f": {"n": 1}})
    assert place.change(stored, {"f": {"": DELETE_FIELD, "n": 1}}) is None


def test_a_map_with_a_sentinel_in_it_is_taken_as_deep_as_one_without(place: Place) -> None:
    deep: dict[str, Any] = {"at": SERVER_TIMESTAMP}
    for _ in range(19):
        deep = {"m": deep}
    change = place.change(None, {"f": deep})
    assert change is not None
    place.put(None)
    assert place.commit(change) is not None


def test_same_is_not_equal() -> None:
    assert not same(encode(1, ""), encode(1.0, ""))
    assert same(encode(float("nan"), ""), encode(-float("nan"), ""))

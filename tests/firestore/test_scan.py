"""Scanning: every document of a scope once, at one time, in order, over whatever network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError, Unavailable
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Address, Reader, Writer
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.scan import ALL, KeyRange, collection_query, run_query, scan, split
from firestore_migrations.firestore.scope import Scope
from tests.bad_network import BadNetwork

IDS = ["b", "a", "10", "9", "__id10__", "__id9__", "__id-1__", "\U0001f600", "\uffff", "a b", "a-", "é", "\x00", "A"]


@pytest.fixture
def writer(emulator: Emulator, project: str) -> Iterator[Writer]:
    with Writer(Address(project, emulator_host=emulator.host)) as made:
        yield made


def put(writer: Writer, *paths: str, **fields: int) -> int:
    writes = []
    for path in paths:
        write = wire.Write()
        write.update.name = writer.full_name(path)
        for name, value in fields.items():
            write.update.fields[name].integer_value = value
        writes.append(write.SerializeToString())
    return writer.commit(writes, 30)


def paths(*args: Any, **kwargs: Any) -> list[str]:
    return [stored.path for stored in scan(*args, **kwargs)]


def test_documents_come_in_the_order_of_names_with_their_times(writer: Writer) -> None:
    at = put(writer, *(f"c/{name}" for name in IDS), n=1)
    found = list(scan(writer, Scope("c"), at))
    assert [stored.path for stored in found] == sorted((f"c/{name}" for name in IDS), key=name_key)
    assert {(stored.create_time, stored.update_time) for stored in found} == {(at, at)}
    document = wire.Document.FromString(found[0].raw)
    assert (document.name, document.fields["n"].integer_value, wire.micros(document.update_time)) == (
        writer.full_name(found[0].path),
        1,
        at,
    )


def test_a_scan_shows_one_instant_whatever_is_written_since(writer: Writer) -> None:
    at = put(writer, "c/1", "c/2", "c/3", n=1)
    found = scan(writer, Scope("c"), at)
    first = next(found)
    put(writer, "c/2", "c/4", n=2)
    writer.commit([wire.Write(delete=writer.full_name("c/3")).SerializeToString()], 10)
    again = list(scan(writer, Scope("c"), at))
    assert [first, *found] == again
    assert [stored.path for stored in again] == ["c/1", "c/2", "c/3"]


@pytest.mark.parametrize("group", [False, True])
def test_a_scan_that_is_cut_goes_on_behind_the_last_name(emulator: Emulator, writer: Writer, group: bool) -> None:
    names = [f"{parent}c/{n:02}" for parent in ("", "x/a/", "x/b/") for n in range(13)]
    at = put(writer, *names, n=1)
    scope = Scope("c", group=group)
    expected = paths(writer, scope, at)
    assert len(expected) == (39 if group else 13)
    with (
        BadNetwork(emulator.host, cuts=5) as network,
        Reader(Address(writer.address.project, emulator_host=network.host)) as reader,
    ):
        assert paths(reader, scope, at) == expected
        assert paths(reader, scope, at, KeyRange(expected[3], expected[-2])) == expected[3:-2]
        assert network.broken["RunQuery"] >= 3


def test_a_query_of_the_present_that_is_cut_goes_on_at_the_time_that_it_has_seen(
    emulator: Emulator, writer: Writer
) -> None:
    at = put(writer, *[f"c/{n:02}" for n in range(13)], n=1)
    expected = list(scan(writer, Scope("c"), at))

    def write_meanwhile(_: float) -> None:
        put(writer, "c/05x", "c/12", n=2)
        writer.commit([wire.Write(delete=writer.full_name("c/11")).SerializeToString()], 10)

    with (
        BadNetwork(emulator.host, cuts=5) as network,
        Reader(Address(writer.address.project, emulator_host=network.host)) as reader,
    ):
        query = collection_query("c")
        found = run_query(reader, f"{writer.address.name}/documents", query, None, ALL, write_meanwhile)
        assert list(found) == expected
        assert network.broken["RunQuery"] >= 2
    assert list(scan(writer, Scope("c"), put(writer, "d/1"))) != expected


def test_a_scan_gives_up_after_a_dozen_fruitless_attempts(emulator: Emulator, writer: Writer) -> None:
    at = put(writer, "c/1")
    slept: list[float] = []
    with (
        BadNetwork(emulator.host, refuses=lambda name, _: name == "RunQuery") as network,
        Reader(Address(writer.address.project, emulator_host=network.host)) as reader,
        pytest.raises(Unavailable, match="did not send the documents of a scope"),
    ):
        list(run_query(reader, f"{writer.address.name}/documents", collection_query("c"), at, ALL, slept.append))
    assert (network.calls["RunQuery"], len(slept), max(slept)) == (13, 12, 5.0)


def test_what_will_never_work_is_not_tried_again(emulator: Emulator, writer: Writer) -> None:
    with (
        BadNetwork(emulator.host, refuses=lambda *_: True, code=grpc.StatusCode.PERMISSION_DENIED) as network,
        Reader(Address(writer.address.project, emulator_host=network.host)) as reader,
        pytest.raises(ConfigurationError, match="PERMISSION_DENIED"),
    ):
        list(scan(reader, Scope("c"), 1))
    assert network.calls["RunQuery"] == 1


SCOPES = [
    Scope("c"),
    Scope("c", group=True),
    Scope("users/{uid}/c"),
    Scope("users/u1/c"),
    Scope("c", where=(("n", "==", 1),)),
    Scope("c", where=(("n", ">=", 1),)),
    Scope("users/{uid}/c", where=(("n", "==", 1), ("m", "<", 1))),
]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("shards", [1, 2, 3, 7, 50, 1000])
def test_shards_are_the_scope_without_overlap(writer: Writer, scope: Scope, shards: int) -> None:
    names = [
        f"{parent}c/{name}" for parent in ("", "users/u1/", "users/\U0001f600/", "teams/t/users/u1/") for name in IDS
    ]
    put(writer, *names[::2], n=1, m=0)
    at = put(writer, *names[1::2], n=0, m=1)

    ranges = split(writer, scope, shards, at)

    parts = [paths(writer, scope, at, keys) for keys in ranges]
    assert [path for part in parts for path in part] == paths(writer, scope, at)
    assert len(ranges) <= shards
    assert (ranges[0].start, ranges[-1].end) == (None, None)
    if len(parts) == shards:
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_an_empty_scope_is_one_shard_with_nothing(writer: Writer) -> None:
    at = put(writer, "other/1")
    assert split(writer, Scope("c"), 8, at) == [ALL]
    assert paths(writer, Scope("c"), at) == []


def test_names_alone_still_have_their_times(writer: Writer) -> None:
    at = put(writer, "c/1", n=1)
    (stored,) = scan(writer, Scope("c"), at, names_only=True)
    assert (stored.path, stored.update_time) == ("c/1", at)
    assert len(wire.Document.FromString(stored.raw).fields) == 0


def test_a_document_without_fields_and_one_under_a_missing_parent_are_found(writer: Writer) -> None:
    at = put(writer, "c/empty", "ghost/none/c/1")
    assert paths(writer, Scope("c", group=True), at) == ["c/empty", "ghost/none/c/1"]
    assert paths(writer, Scope("ghost/{id}/c"), at) == ["ghost/none/c/1"]
    assert paths(writer, Scope("ghost"), at) == []

"""Streams that break: wherever, however often and however, a scan gives every document once, at its one time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import Address, Reader, Writer
from firestore_migrations.firestore.ordering import name_key
from firestore_migrations.firestore.scan import ALL, KeyRange, scan, split
from firestore_migrations.firestore.scope import Scope
from tests.firestore.any_path import AWKWARD, paths
from tests.firestore.cut_streams import CutSockets, CutStreams

PARENTS = ["", "users/u1/", "users/\U0001f600/", "teams/t/users/u1/", "c/__id7__/"]
NAMES = [f"{parent}c/{name}" for parent in PARENTS for name in ("b", "__id7__", "\x00", "\U0001f600")]
SCOPES = [
    Scope("c"),
    Scope("c", group=True),
    Scope("users/{uid}/c"),
    Scope("users/u1/c"),
    Scope("c", group=True, where=(("n", "==", 1),)),
    Scope("c", group=True, where=(("n", ">=", 1),)),
    Scope("none", group=True),
]
NO_SLEEP = lambda _: None  # noqa: E731
on_the_server = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def writer(emulator: Emulator, project: str) -> Iterator[Writer]:
    with Writer(Address(project, emulator_host=emulator.host)) as made:
        yield made


def put(writer: Writer, names: list[str], number: int | None = None) -> int:
    """Replace documents; without a number every second one gets 1 and the others 0."""
    writes = []
    for index, path in enumerate(names):
        write = wire.Write()
        write.update.name = writer.full_name(path)
        write.update.fields["n"].integer_value = index % 2 if number is None else number
        writes.append(write.SerializeToString())
    return writer.commit(writes, 30)


def delete(writer: Writer, *names: str) -> None:
    writer.commit([wire.Write(delete=writer.full_name(name)).SerializeToString() for name in names], 30)


def over(network: CutStreams | CutSockets, writer: Writer) -> Reader:
    return Reader(Address(writer.address.project, emulator_host=network.host))


def found(
    reader: Reader, scope: Scope, at: int, keys: KeyRange = ALL, *, names_only: bool = False
) -> list[wire.Stored]:
    return list(scan(reader, scope, at, keys, names_only=names_only, sleep=NO_SLEEP))


@pytest.mark.parametrize("names_only", [False, True])
@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_stream_may_break_at_any_message(emulator: Emulator, writer: Writer, scope: Scope, names_only: bool) -> None:
    at = put(writer, NAMES)
    whole = found(writer, scope, at, names_only=names_only)
    for cut in range(len(NAMES) + 3):
        with CutStreams(emulator.host, [cut]) as network, over(network, writer) as reader:
            assert found(reader, scope, at, names_only=names_only) == whole, cut
        assert len(network.sent) == 2


@pytest.mark.parametrize("each", [1, 2, 3, 7])
def test_it_may_break_again_and_again(emulator: Emulator, writer: Writer, each: int) -> None:
    at = put(writer, NAMES)
    whole = found(writer, Scope("c", group=True), at)
    cuts = [each, *[0] * 11] * ((len(NAMES) - 1) // each)  # one fruitless attempt more, and it would give up
    with CutStreams(emulator.host, cuts) as network, over(network, writer) as reader:
        assert found(reader, Scope("c", group=True), at) == whole
    assert len(network.sent) == len(cuts) + 1


CODES = ["ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNKNOWN"]


@pytest.mark.parametrize("code", CODES)
def test_it_may_break_with_any_transient_error(emulator: Emulator, writer: Writer, code: str) -> None:
    at = put(writer, NAMES)
    with CutStreams(emulator.host, [0, 3, 5], grpc.StatusCode[code]) as network, over(network, writer) as reader:
        assert found(reader, Scope("c", group=True), at) == found(writer, Scope("c", group=True), at)
    assert network.sent[:3] == [0, 3, 5]


def test_the_connection_may_be_reset_at_any_byte(emulator: Emulator, writer: Writer) -> None:
    at = put(writer, NAMES)
    whole = found(writer, Scope("c", group=True), at)
    resets = 0
    for cut in range(1, 4000, 397):
        with CutSockets(emulator.host, [cut, cut + 13]) as network, over(network, writer) as reader:
            assert list(scan(reader, Scope("c", group=True), at)) == whole, cut
        resets += network.reset
    assert resets > 10


def test_what_others_write_while_it_is_broken_is_not_seen(emulator: Emulator, writer: Writer) -> None:
    names = [f"c/{n:02}" for n in range(0, 40, 2)]
    at = put(writer, names)
    whole = found(writer, Scope("c"), at)
    moments = iter(range(40))

    def meanwhile() -> None:
        n = next(moments)
        put(writer, [f"c/{n:02}", f"c/{n:02}b", f"c/{39 - n:02}"], 7)
        delete(writer, f"c/{(n * 7) % 40:02}")

    with CutStreams(emulator.host, [3] * 6, meanwhile=meanwhile) as network, over(network, writer) as reader:
        assert found(reader, Scope("c"), at) == whole
    assert next(moments) == 6


def test_documents_that_are_gone_are_behind_the_last_name_too(emulator: Emulator, writer: Writer) -> None:
    """The scan goes on behind a name whose document was deleted meanwhile."""
    names = [f"c/{n}" for n in range(6)]
    at = put(writer, names)
    everything = lambda: delete(writer, *names)  # noqa: E731
    with CutStreams(emulator.host, [3, 1], meanwhile=everything) as network, over(network, writer) as reader:
        assert [stored.path for stored in found(reader, Scope("c"), at)] == names
    assert found(writer, Scope("c"), writer.get(names)[1]) == []


@pytest.mark.parametrize("group", [False, True])
def test_every_id_that_firestore_allows(emulator: Emulator, writer: Writer, group: bool) -> None:
    names = [f"{parent}c/{name}" for parent in ("", "gone/a/") for name in AWKWARD]
    at = put(writer, names)
    scope = Scope("c", group=group)
    expected = sorted((name for name in names if scope.contains(name)), key=name_key)
    with CutStreams(emulator.host, [1, 2, 3] * 4) as network, over(network, writer) as reader:
        assert [stored.path for stored in found(reader, scope, at)] == expected


def test_shards_are_exactly_the_scope_for_every_number_of_them(emulator: Emulator, writer: Writer) -> None:
    at = put(writer, NAMES)
    for scope in SCOPES[:4]:
        whole = found(writer, scope, at)
        for shards in range(1, len(whole) + 3):
            ranges = split(writer, scope, shards, at)
            with CutStreams(emulator.host, [2, 1] * 5) as network, over(network, writer) as reader:
                parts = [found(reader, scope, at, keys) for keys in ranges]
            assert [stored for part in parts for stored in part] == whole, (scope, shards)
            assert len(ranges) == (shards if shards <= len(whole) else 1)


@given(st.data())
@on_the_server
def test_whatever_there_is_and_wherever_it_breaks(emulator: Emulator, data: st.DataObject) -> None:
    with Writer(Address(f"demo-{uuid4().hex[:12]}", emulator_host=emulator.host)) as writer:
        names = data.draw(st.lists(paths("c"), min_size=1, max_size=25, unique=True), "names")
        at = put(writer, names)
        scope = data.draw(st.sampled_from([*SCOPES[:3], Scope("users/a/c"), Scope("c/{id}/c")]), "scope")
        expected = sorted((name for name in names if scope.contains(name)), key=name_key)
        bounds = data.draw(st.lists(st.sampled_from(names), max_size=4, unique=True), "bounds")
        ranges = list(pairwise([None, *sorted(bounds, key=name_key), None]))
        if scope in SCOPES[1:3]:  # bounds of another collection mean nothing in a query of one collection
            with CutStreams(emulator.host, data.draw(cuts, "cuts")) as network, over(network, writer) as reader:
                parts = [found(reader, scope, at, KeyRange(*keys)) for keys in ranges]
                assert [stored.path for part in parts for stored in part] == expected
        with CutStreams(emulator.host, data.draw(cuts, "cuts")) as network, over(network, writer) as reader:
            assert [stored.path for stored in found(reader, scope, at)] == expected
            shards = data.draw(st.integers(1, 30), "shards")
            parts = [found(reader, scope, at, keys) for keys in split(writer, scope, shards, at)]
            assert [stored.path for part in parts for stored in part] == expected


cuts = st.lists(st.integers(0, 6), max_size=10)


def test_a_time_that_the_server_has_forgotten_is_said(writer: Writer) -> None:
    at = put(writer, ["c/a"])
    forgotten = at - timedelta(days=8) // timedelta(microseconds=1)
    with pytest.raises(ConfigurationError, match=r"as they were at 20.*hour of the past") as refused:
        found(writer, Scope("c"), forgotten)
    assert refused.value.facts == {"code": "FAILED_PRECONDITION", "read_time": forgotten}


def test_a_split_is_asked_for_again_when_the_server_does_not_answer(emulator: Emulator, writer: Writer) -> None:
    from tests.bad_network import BadNetwork

    at = put(writer, NAMES)
    first = lambda name, number: name in ("PartitionQuery", "RunQuery") and number == 1  # noqa: E731
    with (
        BadNetwork(emulator.host, refuses=first) as network,
        Reader(Address(writer.address.project, emulator_host=network.host)) as reader,
    ):
        assert split(reader, Scope("c"), 2, at) == split(writer, Scope("c"), 2, at)
    assert network.calls["PartitionQuery"] == 2

"""A reader reads and nothing else; a writer commits once; errors are ours, and say nothing of documents."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport

from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import ConfigurationError, Unavailable, WriteRefused
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.connection import READING, SERVICE, Address, Reader, Writer, patiently
from tests.bad_network import BadNetwork

RPCS = [
    "BatchWrite",
    "BeginTransaction",
    "Commit",
    "CreateDocument",
    "DeleteDocument",
    "ExecutePipeline",
    "Rollback",
    "UpdateDocument",
]


def write_of(writer: Reader, path: str, n: int) -> bytes:
    write = wire.Write()
    write.update.name = writer.full_name(path)
    write.update.fields["n"].integer_value = n
    return bytes(write.SerializeToString())


def test_every_method_of_the_official_transport_is_known_as_reading_or_is_refused() -> None:
    class Recording:
        def __init__(self) -> None:
            self.methods: set[str] = set()

        def __getattr__(self, kind: str) -> Any:
            def make(method: str, **_: Any) -> None:
                self.methods.add(method)

            return make

    channel = Recording()
    transport = FirestoreGrpcTransport.__new__(FirestoreGrpcTransport)
    transport._stubs, transport._logged_channel = {}, channel
    for name in dir(FirestoreGrpcTransport):
        if isinstance(getattr(FirestoreGrpcTransport, name), property) and name not in ("kind", "host", "grpc_channel"):
            getattr(transport, name)
    offered = {method for method in channel.methods if method.startswith(SERVICE)}
    assert offered - READING == {SERVICE + name for name in [*RPCS, "Listen", "Write"]} & offered
    assert {SERVICE + "Commit", SERVICE + "Write", SERVICE + "BatchWrite"} <= offered


@pytest.mark.parametrize("method", RPCS)
def test_a_reader_refuses_to_send_anything_that_is_not_reading(emulator: Emulator, project: str, method: str) -> None:
    address = Address(project, emulator_host=emulator.host)
    with Reader(address) as reader, Writer(address) as writer:
        request = wire.CommitRequest(database=address.name, writes=[write_of(reader, "c/a", 1)])
        for send in (reader.unary, lambda *args: list(reader.stream(*args))):
            with pytest.raises(WriteRefused, match=f"{method} was refused") as refused:
                send(method, request, wire.CommitAnswer, 5)
            assert refused.value.facts == {"method": SERVICE + method}
        assert writer.get(["c/a"])[0] == {"c/a": None}


def test_documents_are_read_together_at_one_time(emulator: Emulator, project: str) -> None:
    with Writer(Address(project, emulator_host=emulator.host)) as writer:
        first = writer.commit([write_of(writer, "c/a", 1)], 10)
        second = writer.commit([write_of(writer, "c/a", 2), write_of(writer, "c/b", 3)], 10)
        found, at = writer.get(["c/b", "c/none", "c/a", "c/a"])
        past, past_at = writer.get(["c/a", "c/b"], read_time=first)

    assert at >= second > first
    assert set(found) == {"c/a", "c/b", "c/none"}
    assert (found["c/none"], found["c/a"].create_time, found["c/a"].update_time) == (None, first, second)  # type: ignore[union-attr]
    assert wire.Document.FromString(found["c/a"].raw).fields["n"].integer_value == 2  # type: ignore[union-attr]
    assert (past["c/b"], past["c/a"].update_time, past_at) == (None, first, first)  # type: ignore[union-attr]


def test_a_commit_is_one_attempt(emulator: Emulator, project: str) -> None:
    with (
        BadNetwork(emulator.host, loses=lambda name, _: name == "Commit") as network,
        Writer(Address(project, emulator_host=network.host)) as writer,
    ):
        with pytest.raises(grpc.RpcError):
            writer.commit([write_of(writer, "c/a", 1)], 10)
        assert network.calls["Commit"] == 1
        assert writer.get(["c/a"])[0]["c/a"] is not None


def test_reading_is_patient_and_in_the_end_ours(emulator: Emulator, project: str) -> None:
    with (
        BadNetwork(emulator.host, refuses=lambda _, number: number % 3 != 0) as network,
        Reader(Address(project, emulator_host=network.host)) as reader,
    ):
        assert reader.get(["c/a"])[0] == {"c/a": None}
        assert network.calls["BatchGetDocuments"] == 3
    with pytest.raises(Unavailable, match="Firestore did not read: it answered UNAVAILABLE"):
        patiently(lambda: reader_of_nothing().unary("GetDocument", wire.Document(), wire.Document, 1), "read", 0.2)


def reader_of_nothing() -> Reader:
    return Reader(Address("p", emulator_host="127.0.0.1:1"))


def test_a_refusal_for_good_says_where_and_not_what(emulator: Emulator, project: str) -> None:
    with (
        BadNetwork(emulator.host, refuses=lambda *_: True, code=grpc.StatusCode.PERMISSION_DENIED) as network,
        Reader(Address(project, emulator_host=network.host)) as reader,
        pytest.raises(ConfigurationError, match="refused to read documents: PERMISSION_DENIED"),
    ):
        reader.get(["c/a"])


def test_without_credentials_there_is_no_channel_to_google() -> None:
    with pytest.raises(ConfigurationError, match="no credentials for projects/p/databases"):
        Reader(Address("p")).get(["c/a"])


def test_an_address_names_its_database_and_how_much_it_takes() -> None:
    address = Address("p", "d")
    assert (address.name, address.request_limit) == ("projects/p/databases/d", 10 * 1024 * 1024)
    assert Address("p", emulator_host="h:1").request_limit == 4 * 1024 * 1024
    reader = Reader(address)
    assert reader.path(reader.full_name("c/a")) == "c/a"
    assert reader.full_name("c/a") == "projects/p/databases/d/documents/c/a"


def test_two_databases_of_one_project_are_apart(emulator: Emulator, project: str) -> None:
    one, other = (Writer(Address(project, name, emulator.host)) for name in ("(default)", "other"))
    with one, other:
        one.commit([write_of(one, "c/a", 1)], 10)
        assert other.get(["c/a"])[0] == {"c/a": None}

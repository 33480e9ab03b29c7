"""The codec: values of one database in and out, and references that can read and cannot write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import firestore
from hypothesis import given

from firestore_migrations import DELETE_FIELD, SERVER_TIMESTAMP
from firestore_migrations.emulator import Emulator
from firestore_migrations.errors import WriteRefused
from firestore_migrations.firestore import wire
from firestore_migrations.firestore.codec import Codec
from firestore_migrations.firestore.connection import Address, Reader, Writer
from firestore_migrations.firestore.values import same
from tests.firestore.any_value import values

HERE = Codec(Reader(Address("one", emulator_host="127.0.0.1:1")))


@given(values)
def test_what_was_decoded_encodes_as_it_was(value: object) -> None:
    stored = HERE.encode(value, "f")
    assert same(stored, HERE.encode(HERE.decode(stored), "f"))


@pytest.mark.parametrize(
    "name",
    [
        "projects/one/databases/(default)/documents/users/ada",
        "projects/one/databases/other/documents/users/ada/invoices/7",
        "projects/zzz/databases/(default)/documents/a/__id7__",
    ],
)
def test_a_reference_of_any_database_keeps_its_whole_name(name: str) -> None:
    reference = HERE.decode(wire.Value(reference_value=name))
    assert isinstance(reference, firestore.DocumentReference)
    assert reference._document_path == name
    assert reference == HERE.decode(wire.Value(reference_value=name))
    assert HERE.encode(reference, "f") == wire.Value(reference_value=name)


@pytest.fixture
def writer(emulator: Emulator, project: str) -> Iterator[Writer]:
    with Writer(Address(project, emulator_host=emulator.host)) as made:
        write = wire.Write()
        write.update.name = made.full_name("c/a")
        write.update.fields["n"].integer_value = 1
        made.commit([write.SerializeToString()], 10)
        yield made


def test_a_reference_reads_through_the_official_client_and_cannot_write(writer: Writer) -> None:
    with Reader(writer.address) as reader:
        reference = Codec(reader).reference(reader.full_name("c/a"))
        assert reference.get().to_dict() == {"n": 1}
        assert [
            snapshot.id for snapshot in reference.parent.where(filter=firestore.FieldFilter("n", "==", 1)).stream()
        ] == ["a"]
        assert reference.parent.count().get()[0][0].value == 1
        for write in (lambda: reference.set({}), reference.delete, lambda: reference.update({"n": 2})):
            with pytest.raises(WriteRefused):
                write()
    assert writer.get(["c/a"])[0]["c/a"] is not None


def test_both_words_for_a_deleted_field_are_known() -> None:
    assert HERE.is_delete(DELETE_FIELD)
    assert HERE.is_delete(firestore.DELETE_FIELD)
    assert not HERE.is_delete(SERVER_TIMESTAMP)
    assert not HERE.is_delete(None)

"""A dry run cannot write, whatever the author's code reaches for."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport

from firestore_migrations import Database, Document, each_document, script
from firestore_migrations.errors import DocumentError, WriteRefused
from firestore_migrations.firestore import wire
from tests.runs.world import World


def _commit(db: Database) -> Any:
    write = wire.Write()
    write.update.name = db._base.codec.full_name("c/stolen")
    return wire.CommitRequest(database=db._base.at.reader.address.name, writes=[write.SerializeToString()])


def _stub(db: Database, method: str, kind: str = "unary_unary") -> Any:
    make = getattr(db._base.at.reader.channel, kind)
    return make(
        f"/google.firestore.v1.Firestore/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=bytes,
    )


def _official(document: Document) -> Any:
    return document.reference._client


def _batch(document: Document, db: Database) -> None:
    batch = _official(document).batch()
    batch.set(document.reference, {"stolen": True})
    batch.commit()


def _bulk_writer(document: Document, db: Database) -> None:
    writer = _official(document).bulk_writer()
    writer._send_mode = type(writer._send_mode).serial
    writer.set(document.reference, {"stolen": True})
    writer.flush()


def _transaction(document: Document, db: Database) -> None:
    transaction = _official(document).transaction()
    transaction._begin()


def _api_commit(document: Document, db: Database) -> None:
    client = _official(document)
    name = document.reference._document_path
    client._firestore_api.commit(
        request={"database": client._database_string, "writes": [{"delete": name}]}, metadata=client._rpc_metadata
    )


def _transport(document: Document, db: Database) -> None:
    client = _official(document)
    transport: FirestoreGrpcTransport = client._firestore_api._transport
    transport.delete_document({"name": document.reference._document_path}, metadata=client._rpc_metadata)


WAYS = {
    "reference.set": lambda document, _: document.reference.set({"stolen": True}),
    "reference.update": lambda document, _: document.reference.update({"stolen": True}),
    "reference.create": lambda document, _: _official(document).document("c/stolen").create({}),
    "reference.delete": lambda document, _: document.reference.delete(),
    "collection.add": lambda document, _: _official(document).collection("c").add({"stolen": True}),
    "batch": _batch,
    "bulk writer": _bulk_writer,
    "transaction": _transaction,
    "official api": _api_commit,
    "official transport": _transport,
    "our unary": lambda _, db: db._base.at.reader.unary("Commit", _commit(db), wire.CommitAnswer, 5),
    "our stream": lambda _, db: list(db._base.at.reader.stream("Commit", _commit(db), wire.CommitAnswer, 5)),
    "our channel": lambda _, db: _stub(db, "Commit")(_commit(db), metadata=db._base.at.reader.metadata),
    "with_call": lambda _, db: _stub(db, "Commit").with_call(_commit(db), metadata=db._base.at.reader.metadata),
    "future": lambda _, db: _stub(db, "Commit").future(_commit(db), metadata=db._base.at.reader.metadata).result(),
    "BatchWrite": lambda _, db: _stub(db, "BatchWrite")(_commit(db), metadata=db._base.at.reader.metadata),
    "Write stream": lambda _, db: list(
        _stub(db, "Write", "stream_stream")(iter([_commit(db)]), metadata=db._base.at.reader.metadata)
    ),
    "stream_unary": lambda _, db: _stub(db, "Commit", "stream_unary")(
        iter([_commit(db)]), metadata=db._base.at.reader.metadata
    ),
    "codec's reader": lambda _, db: db._base.codec._reader.unary("Commit", _commit(db), wire.CommitAnswer, 5),
}


SILENT = {"recursive_delete": lambda document, _: _official(document).recursive_delete(document.reference)}
"""The official bulk writer swallows whatever its requests raise."""


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_is_refused_before_anything_is_sent(world: World, way: str) -> None:
    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})
    before = world.read(), world.update_times()

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        WAYS[way](document, db)

    with pytest.raises((WriteRefused, DocumentError)):
        world.run(up, up_to="dry_run")

    assert (world.read(), world.update_times()) == before


@pytest.mark.parametrize("way", [*WAYS, *SILENT])
def test_nothing_is_written_when_the_author_swallows_the_refusal(world: World, way: str) -> None:
    world.write({"c/a": {"n": 1}, "c/b": {"n": 2}})
    before = world.read(), world.update_times()
    tried = []

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        try:
            {**WAYS, **SILENT}[way](document, db)
        except Exception as error:  # noqa: BLE001 -- an author's code may swallow anything
            tried.append(type(error))

    life = world.run(up, up_to="verify")

    assert set(tried) <= {WriteRefused, DocumentError}
    assert way in SILENT or len(tried) >= 4
    assert life.results["review"]["rows"] == 0
    assert (world.read(), world.update_times()) == before


@pytest.mark.parametrize("phase", ["verify", "apply"])
def test_a_write_from_a_check_or_from_replanning_is_refused_too(world: World, phase: str) -> None:
    world.write({"c/a": {"n": 1}})
    armed = []

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        if armed and phase == "apply":
            document.reference.set({"stolen": True})
        document["n"] = 2

    @up.verify
    def check(document: Document, db: Database) -> None:
        if phase == "verify":
            document.reference.set({"stolen": True})

    life = world.run(up, up_to="review")
    armed.append(1)
    world.change("c/a", other=1)
    with pytest.raises(Exception, match=r"WriteRefused|refused"):
        life.go_on()

    assert "stolen" not in world.data()["c/a"]


def test_a_script_records_where_the_official_client_would_write(world: World) -> None:
    world.write({"c/a": {"n": 1}})
    before = world.read()

    @script
    def up(db: Database) -> None:
        db.document("c/a").update({"n": 2})
        db.collection("c").document("b").set({"n": 3})
        batch = db.batch()
        batch.delete(db.document("c/none"))
        batch.commit()

    life = world.run(up, mode="dry_run")

    assert life.results["review"]["counts"]["updated"] == 1
    assert world.read() == before


def test_the_audit_cannot_be_reached_through_db(world: World) -> None:
    world.write({"c/a": {}})

    @each_document("c")
    def up(document: Document, db: Database) -> None:
        db.set("_migrations/v001", {"state": "verified"})

    with pytest.raises(Exception, match="audit"):
        world.run(up)

    assert world.state() == "pending"

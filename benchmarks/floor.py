"""The floor: the least that a safe writer does, in Python, with nothing in between and none of our code.

`read` is one raw stream that parses every document; `write` sends atomic commits with a precondition for each write,
one after the other. Together they are a migration without a backup, a plan, an audit, a resumption or a verification.
The way `pins` also refuses what was made of a document that has changed since it was read.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.cloud.firestore_v1.types import firestore

from benchmarks.contender import Contender
from benchmarks.workload import COLLECTION, MOST_WRITES, Workload
from firestore_migrations.firestore.connection import Address

_SERVICE = "/google.firestore.v1.Firestore/"
_OWNER = [("authorization", "Bearer owner")]
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_Query = firestore.RunQueryRequest.pb()
_Answer = firestore.RunQueryResponse.pb()
_Commit = firestore.CommitRequest.pb()
_Committed = firestore.CommitResponse.pb()


def run(contender: Contender, workload: Workload, address: Address, way: str = "") -> None:
    """Read everything, then write everything; `pins` with a precondition on each document that was read as well."""
    with grpc.insecure_channel(str(address.emulator_host), options=_OPTIONS) as channel:
        documents = contender.timed("read", lambda: _read(channel, address.name))
        contender.timed("write", lambda: _write(channel, address.name, workload, documents, pins=way == "pins"))


def _read(channel: grpc.Channel, database: str) -> list[Any]:
    """Stream every document and parse it; keep its name and update time, and nothing else."""
    request = _Query(parent=f"{database}/documents")
    request.structured_query.from_.add(collection_id=COLLECTION)
    call = channel.unary_stream(
        f"{_SERVICE}RunQuery", request_serializer=_Query.SerializeToString, response_deserializer=_Answer.FromString
    )
    found = []
    for answer in call(request, metadata=_OWNER):
        if answer.HasField("document"):
            kept = type(answer.document)(name=answer.document.name)
            kept.update_time.CopyFrom(answer.document.update_time)
            found.append(kept)
    return found


def _write(channel: grpc.Channel, database: str, workload: Workload, documents: list[Any], *, pins: bool) -> None:
    call = channel.unary_unary(
        f"{_SERVICE}Commit", request_serializer=_Commit.SerializeToString, response_deserializer=_Committed.FromString
    )
    root = f"{database}/documents/"
    at_once = MOST_WRITES // 2 if pins else MOST_WRITES
    for first in range(0, len(documents), at_once):
        request = _Commit(database=database)
        for document in documents[first : first + at_once]:
            workload.change(request.writes.add(), document, root)
            if pins:
                _pin(request.writes.add(), document)
        call(request, metadata=_OWNER)


def _pin(write: Any, document: Any) -> None:
    """Change nothing, and fail if the document is not as it was read."""
    write.update.name = document.name
    write.update_mask.SetInParent()
    write.current_document.update_time.CopyFrom(document.update_time)

"""The protobuf messages that pass through whole: raw documents out of a stream, raw writes into a commit.

Protobuf does not distinguish a message from its bytes on the wire. So an answer can be read by a message that takes
its document for bytes, of which another one knows only name and times, and a commit can be sent from writes that were
serialised when they were planned. Nothing is decoded that nobody looks at, and nothing is encoded twice.

The slim messages below have the field numbers of google/firestore/v1; the full ones are the official client's, at the
level of plain protobuf.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from typing import Any, NamedTuple

from google.cloud.firestore_v1.types import common, document, firestore, query, write
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.timestamp_pb2 import Timestamp

Document = document.Document.pb()
Value = document.Value.pb()
MapValue = document.MapValue.pb()
ArrayValue = document.ArrayValue.pb()
Write = write.Write.pb()
FieldTransform = write.DocumentTransform.pb().FieldTransform
Precondition = common.Precondition.pb()
DocumentMask = common.DocumentMask.pb()
StructuredQuery = query.StructuredQuery.pb()
RunQueryRequest = firestore.RunQueryRequest.pb()
BatchGetDocumentsRequest = firestore.BatchGetDocumentsRequest.pb()
PartitionQueryRequest = firestore.PartitionQueryRequest.pb()
PartitionQueryResponse = firestore.PartitionQueryResponse.pb()
RunAggregationQueryRequest = firestore.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse = firestore.RunAggregationQueryResponse.pb()
ListCollectionIdsRequest = firestore.ListCollectionIdsRequest.pb()
ListCollectionIdsResponse = firestore.ListCollectionIdsResponse.pb()
ListDocumentsRequest = firestore.ListDocumentsRequest.pb()
ListDocumentsResponse = firestore.ListDocumentsResponse.pb()

_FIELD = descriptor_pb2.FieldDescriptorProto
_TIMESTAMP = ".google.protobuf.Timestamp"


def _slim_messages() -> dict[str, Any]:
    """Build the messages that leave documents and writes as bytes."""
    file = descriptor_pb2.FileDescriptorProto(
        name="firestore_migrations/slim.proto",
        package="firestore_migrations",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )

    def message(name: str, *fields: tuple[int, str, int, int, str | None]) -> None:
        proto = file.message_type.add(name=name)
        for number, field, kind, label, type_name in fields:
            proto.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)

    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    text, raw, message_kind = _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES, _FIELD.TYPE_MESSAGE
    message(
        "SlimDocument",
        (1, "name", text, one, None),
        (3, "create_time", message_kind, one, _TIMESTAMP),
        (4, "update_time", message_kind, one, _TIMESTAMP),
    )
    message("QueryAnswer", (1, "document", raw, one, None))
    message("DatedAnswer", (1, "document", raw, one, None), (3, "read_time", message_kind, one, _TIMESTAMP))
    message(
        "LookupAnswer",
        (1, "found", raw, one, None),
        (2, "missing", text, one, None),
        (4, "read_time", message_kind, one, _TIMESTAMP),
    )
    message("Update", (1, "update", raw, one, None))
    message("CommitRequest", (1, "database", text, one, None), (2, "writes", raw, many, None))
    message("CommitAnswer", (2, "commit_time", message_kind, one, _TIMESTAMP))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(Timestamp.DESCRIPTOR.file.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


_SLIM = _slim_messages()
SlimDocument = _SLIM["firestore_migrations.SlimDocument"]
QueryAnswer = _SLIM["firestore_migrations.QueryAnswer"]
DatedAnswer = _SLIM["firestore_migrations.DatedAnswer"]
LookupAnswer = _SLIM["firestore_migrations.LookupAnswer"]
Update = _SLIM["firestore_migrations.Update"]
"""The part of a `Write` that holds the document; the bytes of its other parts follow those of this one."""
CommitRequest = _SLIM["firestore_migrations.CommitRequest"]
CommitAnswer = _SLIM["firestore_migrations.CommitAnswer"]


class Stored(NamedTuple):
    """A document as Firestore holds it.

    Attributes:
        path: relative to the database, like `users/abc`.
        create_time: microseconds since 1970.
        update_time: microseconds since 1970; the precondition of a write.
        raw: the serialised `google.firestore.v1.Document`, name and times included, as the server sent it.
    """

    path: str
    create_time: int
    update_time: int
    raw: bytes


def document_of(raw: bytes | None) -> Any | None:
    """The protobuf document of raw bytes; None of None."""
    return None if raw is None else Document.FromString(raw)


def micros(timestamp: Any) -> int:
    """A protobuf timestamp in microseconds since 1970, Firestore's own precision."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000  # type: ignore[no-any-return]


def timestamp(microseconds: int) -> Timestamp:
    """The protobuf timestamp of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)

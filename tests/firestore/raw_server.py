"""The emulator, spoken to in plain protobuf: what the server itself says about values, order and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import grpc
from google.cloud.firestore_v1.types import document, firestore, query, write

Document: Any = document.Document.pb()
_SERVICE = "/google.firestore.v1.Firestore"


class RawServer:
    def __init__(self, host: str, project: str) -> None:
        self.database = f"projects/{project}/databases/(default)"
        self.channel = grpc.insecure_channel(host)
        self._metadata = [("authorization", "Bearer owner"), ("google-cloud-resource-prefix", self.database)]
        self._commit = self.channel.unary_unary(
            f"{_SERVICE}/Commit",
            request_serializer=firestore.CommitRequest.pb().SerializeToString,
            response_deserializer=firestore.CommitResponse.pb().FromString,
        )
        self._run_query = self.channel.unary_stream(
            f"{_SERVICE}/RunQuery",
            request_serializer=firestore.RunQueryRequest.pb().SerializeToString,
            response_deserializer=firestore.RunQueryResponse.pb().FromString,
        )

    def put(self, documents: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Replace the documents at these paths; their update times, in order."""
        writes = [
            write.Write.pb()(update=Document(name=f"{self.database}/documents/{path}", fields=fields))
            for path, fields in documents.items()
        ]
        response = self._commit(
            firestore.CommitRequest.pb()(database=self.database, writes=writes), metadata=self._metadata
        )
        return [result.update_time for result in response.write_results]

    def put_all(self, values: Iterable[Any]) -> str:
        """A fresh collection with one document for each value, ids 000, 001, ..., in the field `f`."""
        collection = f"c{uuid4().hex}"
        self.put({f"{collection}/{index:03}": {"f": value} for index, value in enumerate(values)})
        return collection

    def query(self, collection: str, where: Any = None, order: str = "", *, group: bool = False) -> list[Any]:
        selector = query.StructuredQuery.CollectionSelector.pb()(collection_id=collection, all_descendants=group)
        structured = query.StructuredQuery.pb()(where=where)
        structured.from_.append(selector)
        if order:
            structured.order_by.add(direction=query.StructuredQuery.Direction.ASCENDING).field.field_path = order
        request = firestore.RunQueryRequest.pb()(parent=f"{self.database}/documents", structured_query=structured)
        answers = self._run_query(request, metadata=self._metadata)
        return [answer.document for answer in answers if answer.HasField("document")]

    def ids(self, collection: str, where: Any = None, order: str = "") -> list[str]:
        return [found.name.rpartition("/")[2] for found in self.query(collection, where, order)]

"""Google's Admin API of Firestore: exports, imports and clones of whole databases, and the operations that they are.

Starting one is sent once and never repeated here: an answer that was lost says nothing about what was started. Whoever
starts one looks among the operations that there are before doing it again. Reading is repeated until it is answered.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
from google.cloud.firestore_admin_v1.types import database as databases
from google.cloud.firestore_admin_v1.types import firestore_admin, operation, snapshot
from google.longrunning import operations_pb2
from google.rpc import code_pb2

from firestore_migrations.errors import ConfigurationError, FirestoreMigrationsError, Unavailable
from firestore_migrations.firestore.connection import Address, is_transient, patiently
from firestore_migrations.firestore.wire import micros, timestamp

if TYPE_CHECKING:
    from typing_extensions import Self

MINUTE = 60_000_000
_ADMIN = "/google.firestore.admin.v1.FirestoreAdmin/"
_OPERATIONS = "/google.longrunning.Operations/"
_METADATA = {
    f"google.firestore.admin.v1.{kind.__name__}": kind.pb()
    for kind in (operation.ExportDocumentsMetadata, operation.ImportDocumentsMetadata, operation.CloneDatabaseMetadata)
}
_SECONDS = 60.0


@dataclass(frozen=True)
class Operation:
    """Work of Google's that goes on by itself, as it stood when it was asked for.

    Attributes:
        name: its resource name; `get_operation` finds it again by that.
        is_done: whether it has ended, well or not.
        error: the reason of a failure, as the server says it; empty while it works and where all went well.
        kind: what it does, like `ExportDocumentsMetadata`; empty where we do not know that kind.
        uri: of an export or import, the prefix of its files.
        database: of a clone, the resource name of the new database.
        documents: how many are done, where the server tells.
    """

    name: str
    is_done: bool
    error: str = ""
    kind: str = ""
    uri: str = ""
    database: str = ""
    documents: int = 0


class Admin:
    """The Admin API of the project that a database is in.

    Args:
        address: the database. Its `admin_host`, where it has one, is asked without credentials; an emulator has none.

    Raises:
        ConfigurationError: of every method: the server refused; its own reason is in the message.
        Unavailable: of every method: it did not answer.
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    @cached_property
    def _channel(self) -> grpc.Channel:
        return self.address.admin_channel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_channel" in self.__dict__:
            self._channel.close()

    def earliest_version_time(self) -> int:
        """The oldest instant that the database can still be read at, in microseconds since 1970."""
        request = firestore_admin.GetDatabaseRequest.pb()(name=self.address.name)
        answer = databases.Database.pb()
        found = patiently(lambda: self._send(_ADMIN, "GetDatabase", request, answer), "describe the database")
        return micros(found.earliest_version_time)

    def has_database(self) -> bool:
        """Whether the database exists."""
        request = firestore_admin.GetDatabaseRequest.pb()(name=self.address.name)

        def attempt() -> bool:
            try:
                self._send(_ADMIN, "GetDatabase", request, databases.Database.pb())
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    return False
                raise
            return True

        return bool(patiently(attempt, "describe the database"))

    def ttl_fields(self) -> list[tuple[str, str, int]]:
        """The fields with a time-to-live policy: collection group, field path, seconds after the field's time.

        A policy that is still being set up, or that needs a repair, counts: it may delete at any moment.
        """
        request = firestore_admin.ListFieldsRequest.pb()(
            parent=f"{self.address.name}/collectionGroups/-", filter="ttlConfig:*"
        )
        answer, found = firestore_admin.ListFieldsResponse.pb(), []

        def attempt() -> Any:
            return self._send(_ADMIN, "ListFields", request, answer, routing=f"parent={request.parent}")

        while True:
            page = patiently(attempt, "list the time-to-live policies")
            for field in page.fields:
                _, _, rest = field.name.partition("/collectionGroups/")
                collection, _, path = rest.partition("/fields/")
                found.append((collection, path, int(field.ttl_config.expiration_offset.seconds)))
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def export_documents(
        self, uri: str, collections: Iterable[str] = (), snapshot_time: int | None = None
    ) -> Operation:
        """Start an export of the database.

        Args:
            uri: prefix of its files, `gs://bucket/folder`.
            collections: ids of the collection groups to export; none for all.
            snapshot_time: the instant to export, microseconds since 1970: a whole minute, past, not before
                `earliest_version_time`. None for no one instant.
        """
        request = firestore_admin.ExportDocumentsRequest.pb()(
            name=self.address.name, output_uri_prefix=uri, collection_ids=collections
        )
        if snapshot_time is not None:
            request.snapshot_time.CopyFrom(timestamp(snapshot_time))
        return self._start("ExportDocuments", request, f"export to {uri}")

    def import_documents(self, uri: str, collections: Iterable[str] = ()) -> Operation:
        """Start an import of what an export wrote to `uri`; documents of the same path are replaced."""
        request = firestore_admin.ImportDocumentsRequest.pb()(
            name=self.address.name, input_uri_prefix=uri, collection_ids=collections
        )
        return self._start("ImportDocuments", request, f"import from {uri}")

    def clone_database(self, source: Address, snapshot_time: int) -> Operation:
        """Start to make this database, which must not exist, a clone of another one of the same project.

        Args:
            source: the database to clone.
            snapshot_time: the instant to clone, as for `export_documents`.
        """
        request = firestore_admin.CloneDatabaseRequest.pb()(
            parent=f"projects/{self.address.project}",
            database_id=self.address.database,
            pitr_snapshot=snapshot.PitrSnapshot.pb()(database=source.name, snapshot_time=timestamp(snapshot_time)),
        )
        return self._start("CloneDatabase", request, f"clone {source.name}", routing=f"parent={request.parent}")

    def delete_database(self) -> Operation:
        """Start to delete the whole database, for good."""
        request = firestore_admin.DeleteDatabaseRequest.pb()(name=self.address.name)
        return self._start("DeleteDatabase", request, f"delete {self.address.name}")

    def list_operations(self, filter_: str = "") -> Iterator[Operation]:
        """The operations of the database that the server still knows of; those that have ended, too."""
        request = operations_pb2.ListOperationsRequest(name=self.address.name, filter=filter_)

        def attempt() -> Any:
            return self._send(_OPERATIONS, "ListOperations", request, operations_pb2.ListOperationsResponse)

        while True:
            page = patiently(attempt, "list the operations of the database")
            yield from map(_operation, page.operations)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get_operation(self, name: str) -> Operation:
        """How an operation stands now."""
        request = operations_pb2.GetOperationRequest(name=name)
        return _operation(
            patiently(
                lambda: self._send(_OPERATIONS, "GetOperation", request, operations_pb2.Operation), f"look at {name}"
            )
        )

    def wait(
        self, name: str, heartbeat: Callable[[Operation], None] = lambda _: None, seconds: float = 10
    ) -> Operation:
        """Wait until an operation has ended; whether well, its `error` says.

        Args:
            name: of the operation.
            heartbeat: called after each look; what it raises ends the waiting, and never the operation.
            seconds: between two looks.
        """
        while not (found := self.get_operation(name)).is_done:
            heartbeat(found)
            time.sleep(seconds)
        return found

    def _start(self, method: str, request: Any, doing: str, routing: str = "") -> Operation:
        try:
            return _operation(self._send(_ADMIN, method, request, operations_pb2.Operation, routing))
        except grpc.RpcError as error:
            raise _translated(error, doing) from error

    def _send(self, service: str, method: str, request: Any, answer: Any, routing: str = "") -> Any:
        name, _, value = (routing or f"name={request.name}").partition("=")
        call = self._channel.unary_unary(
            service + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request, metadata=[("x-goog-request-params", f"{name}={quote(value, safe='')}")], timeout=_SECONDS)


def _operation(found: Any) -> Operation:
    """An operation of the wire; its metadata says which database, or which files, it is about."""
    kind = found.metadata.type_url.rpartition("/")[2]
    about: Any = _METADATA[kind].FromString(found.metadata.value) if kind in _METADATA else None
    error = ""
    if found.HasField("error"):
        known = found.error.code in code_pb2.Code.values()
        error = f"{code_pb2.Code.Name(found.error.code) if known else found.error.code}: {found.error.message}"
    return Operation(
        found.name,
        is_done=found.done,
        error=error,
        kind=kind.rpartition(".")[2] if about is not None else "",
        uri=getattr(about, "output_uri_prefix", "") or getattr(about, "input_uri_prefix", ""),
        database=getattr(about, "database", ""),
        documents=about.progress_documents.completed_work if hasattr(about, "progress_documents") else 0,
    )


def _translated(error: grpc.RpcError, doing: str) -> FirestoreMigrationsError:
    """Our error for gRPC's. The Admin API speaks of databases and buckets, never of a document: its reason is shown."""
    code, reason = error.code(), error.details()
    if is_transient(error):
        return Unavailable(
            f"Google's Admin API did not {doing}, or did and could not say so: {code.name}: {reason}.",
            "Look among its operations before it is started again.",
            code=code.name,
        )
    return ConfigurationError(
        f"Google's Admin API refused to {doing}: {code.name}: {reason}.",
        "Grant the connection's identity what that needs (roles/datastore.importExportAdmin for exports), or correct "
        "the connection.",
        code=code.name,
    )

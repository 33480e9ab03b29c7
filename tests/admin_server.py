"""Google's Admin API as far as we use it, with Google's own message types, over a real socket.

Google itself cannot be reached from a test. What this server refuses is what the API's documentation says it refuses.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_admin_v1.types import database, firestore_admin, operation
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty

if TYPE_CHECKING:
    from typing_extensions import Self

_HOUR = 3600
_METHODS: dict[str, tuple[Any, Any]] = {
    "ExportDocuments": (firestore_admin.ExportDocumentsRequest.pb(), operation.ExportDocumentsMetadata.pb()),
    "ImportDocuments": (firestore_admin.ImportDocumentsRequest.pb(), operation.ImportDocumentsMetadata.pb()),
    "CloneDatabase": (firestore_admin.CloneDatabaseRequest.pb(), operation.CloneDatabaseMetadata.pb()),
    "DeleteDatabase": (firestore_admin.DeleteDatabaseRequest.pb(), firestore_admin.DeleteDatabaseMetadata.pb()),
}


class AdminServer:
    """Serves databases and operations; an operation ends when it was looked at so many times.

    Args:
        looks: how often an operation is looked at until it is done.
        error: what operations end with: a code and a message; None for well.
        loses: asked with a method's name; whether the answer of a call is lost after it was carried out.
        carries_out: called with a request when its operation ends well, to do to a database what it says.

    Attributes:
        host: `host:port`.
        started: the requests that started operations, in order.
        routing: the routing header of each of them.
        databases: the resource names of the databases that there are; a clone adds one, a deletion takes one away.
        ttl_fields: those with a time-to-live policy: collection group, field path, and seconds after its time.
        denies_fields: whether the caller may not list them.
    """

    def __init__(
        self,
        looks: int = 1,
        error: tuple[int, str] | None = None,
        loses: Callable[[str], bool] = lambda _: False,
        carries_out: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._looks, self._error, self._loses, self._carries_out = looks, error, loses, carries_out
        self._lock = threading.Lock()
        self._operations: dict[str, tuple[Any, Any, int]] = {}
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((_Service(self),))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.started: list[Any] = []
        self.routing: list[str] = []
        self.databases: set[str] = set()
        self.ttl_fields: list[tuple[str, str, int]] = []
        self.denies_fields = False
        self.earliest_version_time = int(time.time()) - _HOUR

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def start(self, method: str, request: Any, context: Any) -> Any:
        """Begin what a request asks for."""
        if fault := self._fault(method, request):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, fault)
        of = request.name if method != "CloneDatabase" else f"{request.parent}/databases/{request.database_id}"
        if method == "CloneDatabase":
            if of in self.databases:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{of} exists")
            self.databases.add(of)
        with self._lock:
            self.started.append(request)
            self.routing += [value for name, value in context.invocation_metadata() if name == "x-goog-request-params"]
            begun = operations_pb2.Operation(name=f"{of}/operations/{method}{len(self.started)}")
            begun.metadata.Pack(_metadata(method, request, of))
            self._operations[begun.name] = (request, begun, self._looks)
        if self._loses(method):
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return begun

    def look(self, name: str, context: Any) -> Any:
        """How an operation stands; each look brings it nearer to its end."""
        if name not in self._operations:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no operation {name}")
        with self._lock:
            request, found, left = self._operations[name]
            if not left and not found.done:
                found.done = True
                self._end(request, found)
            self._operations[name] = (request, found, max(0, left - 1))
        return found

    def list(self, of: str) -> Any:
        """The operations of a database, one page of them."""
        found = [kept for name, (_, kept, _) in self._operations.items() if name.startswith(f"{of}/operations/")]
        return operations_pb2.ListOperationsResponse(operations=found)

    def describe(self, name: str, context: Any) -> Any:
        """A database."""
        if self.databases and name not in self.databases:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {name}")
        found = database.Database.pb()(name=name)
        found.earliest_version_time.FromSeconds(self.earliest_version_time)
        return found

    def list_fields(self, request: Any, context: Any) -> Any:
        """The fields with a policy, one a page, as Google refuses a page size with this filter."""
        if self.denies_fields:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "The caller does not have permission")
        if request.filter != "ttlConfig:*" or request.page_size or not request.parent.endswith("/collectionGroups/-"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "only fields with an override are listed")
        answer, page = firestore_admin.ListFieldsResponse.pb()(), int(request.page_token or 0)
        for collection, path, seconds in self.ttl_fields[page : page + 1]:
            found = answer.fields.add(name=f"{request.parent[:-1]}{collection}/fields/{path}")
            found.ttl_config.state = found.ttl_config.ACTIVE
            if seconds:
                found.ttl_config.expiration_offset.FromSeconds(seconds)
        answer.next_page_token = str(page + 1) if page + 1 < len(self.ttl_fields) else ""
        return answer

    def _end(self, request: Any, found: Any) -> None:
        if self._error is not None:
            found.error.code, found.error.message = self._error
            return
        if "DeleteDatabase" in found.name:
            self.databases.discard(request.name)
        self._carries_out(request)
        found.response.Pack(Empty())

    def _fault(self, method: str, request: Any) -> str:
        uri = getattr(request, "output_uri_prefix", "gs://") or getattr(request, "input_uri_prefix", "gs://")
        if not uri.startswith("gs://"):
            return "a URI begins with gs://"
        if method == "CloneDatabase":
            at = request.pitr_snapshot.snapshot_time
        elif method == "ExportDocuments" and request.HasField("snapshot_time"):
            at = request.snapshot_time
        else:
            return ""
        if at.nanos or at.seconds % 60:
            return "snapshot_time is a whole minute"
        is_kept = self.earliest_version_time <= at.seconds <= time.time()
        return "" if is_kept else "snapshot_time is past, and not before earliest_version_time"


def _metadata(method: str, request: Any, of: str) -> Any:
    made = _METHODS[method][1]()
    if method == "CloneDatabase":
        made.database = of
    for field in ("output_uri_prefix", "input_uri_prefix"):
        if hasattr(made, field):
            setattr(made, field, getattr(request, field))
    return made


class _Service(grpc.GenericRpcHandler):
    """Finds the handler of a method by its full name."""

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    def service(self, details: Any) -> Any:
        service, _, method = details.method.rpartition("/")
        server = self._server
        if service == "/google.firestore.admin.v1.FirestoreAdmin" and method in _METHODS:
            return _handler(lambda request, context: server.start(method, request, context), _METHODS[method][0])
        kind, answer = {
            "/google.firestore.admin.v1.FirestoreAdmin/GetDatabase": (
                firestore_admin.GetDatabaseRequest.pb(),
                lambda request, context: server.describe(request.name, context),
            ),
            "/google.firestore.admin.v1.FirestoreAdmin/ListFields": (
                firestore_admin.ListFieldsRequest.pb(),
                server.list_fields,
            ),
            "/google.longrunning.Operations/GetOperation": (
                operations_pb2.GetOperationRequest,
                lambda request, context: server.look(request.name, context),
            ),
            "/google.longrunning.Operations/ListOperations": (
                operations_pb2.ListOperationsRequest,
                lambda request, _: server.list(request.name),
            ),
        }[details.method]
        return _handler(answer, kind)


def _handler(answer: Callable[[Any, Any], Any], request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString()
    )

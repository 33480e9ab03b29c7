"""The codec of one database: values in and out, and references bound to a client that cannot write."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import Client, DocumentReference
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport

from firestore_migrations.firestore import values
from firestore_migrations.firestore.connection import Reader
from firestore_migrations.firestore.settling import is_delete


class _Noticed(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Tells of every RPC before it is sent."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def _pass(self, proceed: Any, details: Any, request: Any) -> Any:
        self._tell()
        return proceed(details, request)

    intercept_unary_unary = _pass
    intercept_unary_stream = _pass


class Codec:
    """Decodes and encodes the values of documents of one database.

    Args:
        reader: references that are decoded can read through it, and cannot write.

    Attributes:
        has_read: whether somebody has read through a reference: what it pointed to then is in no plan.
        decode: of a stored value, the Python value, exactly.
    """

    def __init__(self, reader: Reader) -> None:
        self.decode = partial(values.decode, reference=self.reference)
        self._reader = reader
        self.has_read = False
        self._clients: dict[str, Client] = {}

    def encode(self, value: Any, path: str) -> Any:
        """The stored form of a Python value; `path` names the field in errors."""
        return values.encode(value, path)

    def full_name(self, path: str) -> str:
        """The resource name of a path in this database."""
        return self._reader.full_name(path)

    def time(self, timestamp: Any) -> DatetimeWithNanoseconds:
        """A document's create or update time in the official client's type."""
        return DatetimeWithNanoseconds.from_timestamp_pb(timestamp)

    def is_delete(self, value: Any) -> bool:
        """Whether the value stands for the removal of its field."""
        return is_delete(value)

    def reference(self, full_name: str) -> DocumentReference:
        """The official reference of a resource name, in whichever database it lies."""
        _, project, _, database, _, *segments = full_name.split("/")
        return DocumentReference(*segments, client=self.client(project, database))

    def _notice(self) -> None:
        self.has_read = True

    def client(self, project: str, database: str) -> Client:
        """An official client that can only read: its channel refuses everything else."""
        name = f"projects/{project}/databases/{database}"
        if name not in self._clients:
            client = Client(project=project, database=database, credentials=AnonymousCredentials())
            channel = grpc.intercept_channel(self._reader.channel, _Noticed(self._notice))
            transport = FirestoreGrpcTransport(channel=channel)
            client._firestore_api_internal = FirestoreClient(transport=transport)  # noqa: SLF001 -- there is no public way
            client._emulator_host = self._reader.address.emulator_host  # noqa: SLF001
            self._clients[name] = client
        return self._clients[name]

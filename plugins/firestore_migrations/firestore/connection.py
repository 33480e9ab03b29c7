"""A connection to one database: one that only reads, and one that also commits.

`Reader` refuses every RPC that is not on a list of reading ones, in the channel itself: whatever is built on its
channel, the official client included, cannot write. `Writer` adds `commit`, one attempt and no retry: whether to
send a commit again is a question for whoever knows if it arrived.
"""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import grpc
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from firestore_migrations.errors import ConfigurationError, Unavailable, WriteRefused
from firestore_migrations.firestore import wire

if TYPE_CHECKING:
    from typing_extensions import Self

SERVICE = "/google.firestore.v1.Firestore/"
READING = frozenset(
    SERVICE + name
    for name in (
        "BatchGetDocuments",
        "GetDocument",
        "ListCollectionIds",
        "ListDocuments",
        "PartitionQuery",
        "RunAggregationQuery",
        "RunQuery",
    )
)
TRANSIENT = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
_GOOGLE = "firestore.googleapis.com:443"
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),
    # The thread that asks for the next answer of a stream also takes it off the wire; by default another thread does,
    # and handing each answer over costs more than all else that is done with it.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
]
_EMULATOR_REQUEST_LIMIT = 4 * 1024 * 1024
_SERVER_REQUEST_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where a database is, and who asks.

    Attributes:
        project: Google Cloud project id.
        database: database id, `(default)` for the first.
        emulator_host: `host:port` of an emulator; None for Google's servers.
        credentials: gives google-auth credentials; not called for an emulator.
        reading_credentials: the identity of connections that only read; None for `credentials`.
        admin_host: `host:port` of an Admin API that asks for no credentials; None for Google's. No emulator has one.
    """

    project: str
    database: str = "(default)"
    emulator_host: str | None = None
    credentials: Callable[[], Any] | None = field(default=None, compare=False, repr=False)
    reading_credentials: Callable[[], Any] | None = field(default=None, compare=False, repr=False)
    admin_host: str | None = None

    @property
    def name(self) -> str:
        """The database's resource name."""
        return f"projects/{self.project}/databases/{self.database}"

    @property
    def request_limit(self) -> int:
        """The largest request that the server takes, in bytes."""
        return _EMULATOR_REQUEST_LIMIT if self.emulator_host else _SERVER_REQUEST_LIMIT

    def channel(self, *, reading: bool) -> grpc.Channel:
        """A new channel to the server; nothing is sent yet."""
        if self.emulator_host:
            return grpc.insecure_channel(self.emulator_host, options=_CHANNEL_OPTIONS)
        return self._secure_channel((self.reading_credentials if reading else None) or self.credentials)

    @property
    def has_admin(self) -> bool:
        """Whether there is an Admin API to this database: the emulator has none."""
        return bool(self.admin_host) or not self.emulator_host

    def admin_channel(self) -> grpc.Channel:
        """A new channel to the Admin API, always with the identity that writes; nothing is sent yet."""
        if self.admin_host:
            return grpc.insecure_channel(self.admin_host, options=_CHANNEL_OPTIONS)
        if self.emulator_host:
            raise ConfigurationError(
                f"The emulator at {self.emulator_host} has no Admin API.",
                "Exports, imports and clones need a database of Google's.",
            )
        return self._secure_channel(self.credentials)

    def _secure_channel(self, chosen: Callable[[], Any] | None) -> grpc.Channel:
        if chosen is None:
            raise ConfigurationError(
                f"There are no credentials for {self.name}.",
                "Set them on the connection, or set its emulator_host.",
            )
        from google.auth.transport.grpc import secure_authorized_channel
        from google.auth.transport.requests import Request

        return secure_authorized_channel(chosen(), Request(), _GOOGLE, options=_CHANNEL_OPTIONS)


class _ReadingOnly(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Refuses, before it is sent, every RPC that is not known to read."""

    def _pass(self, proceed: Any, details: Any, request: Any) -> Any:
        if details.method not in READING:
            raise WriteRefused(
                f"{details.method.rsplit('/', 1)[-1]} was refused: this connection only reads, so nothing was sent.",
                "A migration records its writes through the document and `db` that it is given.",
                method=details.method,
            )
        return proceed(details, request)

    intercept_unary_unary = _pass
    intercept_unary_stream = _pass


class _NoStreams(grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Refuses RPCs with a stream of requests: `Write` is one, and reading needs none."""

    def _refuse(self, _proceed: Any, details: Any, _requests: Any) -> Any:
        name = details.method.rsplit("/", 1)[-1]
        raise WriteRefused(
            f"{name} was refused: this connection only reads, so nothing was sent.",
            "A migration records its writes through the document and `db` that it is given.",
            method=details.method,
        )

    intercept_stream_unary = _refuse
    intercept_stream_stream = _refuse


class Reader:
    """A connection that cannot write.

    Args:
        address: the database. Nothing is sent before the first read.
    """

    only_reads = True

    def __init__(self, address: Address) -> None:
        self.address = address
        self._prefix = f"{address.name}/documents/"

    @cached_property
    def channel(self) -> grpc.Channel:
        """The channel, with the refusal of writes built in."""
        return grpc.intercept_channel(self.address.channel(reading=True), _ReadingOnly(), _NoStreams())

    @cached_property
    def metadata(self) -> list[tuple[str, str]]:
        """What every request carries: the database it is for, and the emulator's administrator."""
        address = self.address
        routing = [
            ("google-cloud-resource-prefix", address.name),
            ("x-goog-request-params", f"project_id={address.project}&database_id={address.database}"),
        ]
        return [("authorization", "Bearer owner"), *routing] if address.emulator_host else routing

    def close(self) -> None:
        """Close the channel if one was opened."""
        if "channel" in self.__dict__:
            self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def full_name(self, path: str) -> str:
        """The resource name of a path that is relative to the database."""
        return self._prefix + path

    def path(self, full_name: str) -> str:
        """The path, relative to the database, of a resource name in it."""
        return full_name[len(self._prefix) :]

    def stored(self, raw: bytes) -> wire.Stored:
        """The document of these bytes, of which name and times alone are decoded."""
        slim = wire.SlimDocument.FromString(raw)
        created, updated = slim.create_time, slim.update_time
        return wire.Stored(
            slim.name[len(self._prefix) :],
            created.seconds * 1_000_000 + created.nanos // 1000,
            updated.seconds * 1_000_000 + updated.nanos // 1000,
            raw,
        )

    def stream(self, method: str, request: Any, answer: Any, timeout: float) -> Iterator[Any]:
        """Send one request and yield its answers as they come; a broken stream raises `grpc.RpcError`."""
        call = self.channel.unary_stream(
            SERVICE + method, request_serializer=_serialise, response_deserializer=answer.FromString
        )
        return iter(call(request, metadata=self.metadata, timeout=timeout))

    def unary(self, method: str, request: Any, answer: Any, timeout: float) -> Any:
        """Send one request and return its answer, or raise `grpc.RpcError`."""
        call = self.channel.unary_unary(
            SERVICE + method, request_serializer=_serialise, response_deserializer=answer.FromString
        )
        return call(request, metadata=self.metadata, timeout=timeout)

    def get(
        self, paths: Iterable[str], read_time: int | None = None, *, names_only: bool = False
    ) -> tuple[dict[str, wire.Stored | None], int]:
        """Read documents by path, all at one time; None stands for one that is missing.

        Args:
            paths: relative to the database.
            read_time: microseconds since 1970; None for now.
            names_only: read no fields; names and times are there.

        Returns:
            The documents by path, and the time that they were read at.

        Raises:
            Unavailable: the server did not answer within a minute of attempts.
        """
        request = wire.BatchGetDocumentsRequest(database=self.address.name, documents=map(self.full_name, paths))
        if read_time is not None:
            request.read_time.CopyFrom(wire.timestamp(read_time))
        if names_only:
            request.mask.SetInParent()

        def attempt() -> tuple[dict[str, wire.Stored | None], int]:
            found: dict[str, wire.Stored | None] = {}
            at = 0
            for answer in self.stream("BatchGetDocuments", request, wire.LookupAnswer, timeout=60):
                at = wire.micros(answer.read_time)
                if answer.missing:
                    found[self.path(answer.missing)] = None
                else:
                    stored = self.stored(answer.found)
                    found[stored.path] = stored
            return found, at

        return patiently(attempt, "read documents")  # type: ignore[no-any-return]


class Writer(Reader):
    """A connection that can also commit. Only apply and the audit hold one."""

    only_reads = False

    @cached_property
    def channel(self) -> grpc.Channel:
        """The channel, with nothing in its way."""
        return self.address.channel(reading=False)

    def commit(self, writes: Iterable[bytes], timeout: float) -> int:
        """Send one atomic commit, once.

        Args:
            writes: serialised `google.firestore.v1.Write` messages, each of a document of this database.
            timeout: seconds after which the server is told to give up.

        Returns:
            The commit time in microseconds, the update time of every document that changed.

        Raises:
            grpc.RpcError: it was refused, or nobody knows whether it arrived; the status tells which.
        """
        request = wire.CommitRequest(database=self.address.name, writes=writes)
        return wire.micros(self.unary("Commit", request, wire.CommitAnswer, timeout).commit_time)


def patiently(attempt: Callable[[], Any], doing: str, seconds: float = 60) -> Any:
    """Repeat a call that is safe to repeat while its error is transient; raise `Unavailable` after `seconds`."""
    try:
        return Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            stop=stop_after_delay(seconds),
            reraise=True,
        )(attempt)
    except grpc.RpcError as error:
        raise translated(error, doing) from error


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, grpc.RpcError) and error.code() in TRANSIENT


def translated(error: grpc.RpcError, doing: str) -> Exception:
    """Our error for gRPC's: without the server's text, which may quote a document."""
    code = error.code()
    if code in TRANSIENT:
        return Unavailable(
            f"Firestore did not {doing}: it answered {code.name} until we gave up.",
            "Nothing is lost: run the same task again when the server is well.",
            code=code.name,
        )
    return ConfigurationError(
        f"Firestore refused to {doing}: {code.name}.",
        "Check the connection's project, database and credentials, and that its identity may do this.",
        code=code.name,
    )


def _serialise(message: Any) -> bytes:
    return message.SerializeToString()  # type: ignore[no-any-return]

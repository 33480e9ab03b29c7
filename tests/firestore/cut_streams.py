"""Connections that break where a test wants them to: a stream behind a message, a socket behind a byte."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from typing_extensions import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER for no time: closing sends RST


class CutStreams(grpc.GenericRpcHandler):
    """Passes queries on and breaks the first ones; whatever comes after them is whole.

    Args:
        host: of the emulator.
        cuts: behind how many messages each stream breaks; one that has no more breaks behind its last.
        code: what the client sees.
        meanwhile: called while a stream is broken.
        reason: what the client is told.
    """

    def __init__(
        self,
        host: str,
        cuts: Sequence[int],
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        meanwhile: Callable[[], object] = lambda: None,
        *,
        reason: str = "the stream was cut",
    ) -> None:
        self._cuts, self._code, self._meanwhile, self._reason = iter(cuts), code, meanwhile, reason
        self._to_emulator = grpc.insecure_channel(host)
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((self,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.sent: list[int] = []

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._to_emulator.close()

    def service(self, details: Any) -> Any:
        """The handler of one RPC: a query, or whatever has one answer."""
        if details.method.endswith("/RunQuery"):
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._stream(details.method, request, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._unary(details.method, request, context)
        )

    def _stream(self, method: str, request: bytes, context: Any) -> Iterator[bytes]:
        cut = next(self._cuts, None)
        self.sent.append(0)
        answers = self._to_emulator.unary_stream(method)(request, metadata=context.invocation_metadata())
        for answer in answers:
            if self.sent[-1] == cut:
                break
            self.sent[-1] += 1
            yield answer
        if cut is not None:
            self._meanwhile()
            context.abort(self._code, self._reason)

    def _unary(self, method: str, request: bytes, context: Any) -> bytes:
        try:
            answer: bytes = self._to_emulator.unary_unary(method)(request, metadata=context.invocation_metadata())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        return answer


class CutSockets:
    """Passes bytes on, and resets the first connections behind some bytes of the server's; later ones are whole.

    Args:
        host: of the emulator.
        cuts: behind how many bytes each connection is reset.
    """

    def __init__(self, host: str, cuts: Sequence[int]) -> None:
        name, _, port = host.rpartition(":")
        self._server, self._cuts = (name, int(port)), iter(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.reset = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            threading.Thread(target=self._pass, args=(client, server, next(self._cuts, None)), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket, left: int | None) -> None:
        """Pass bytes both ways; one thread alone reads, or closing would wait for the other and send no RST."""
        other = {client: server, server: client}
        with client, server:
            while True:
                try:
                    for source in select.select(list(other), [], [])[0]:
                        data = source.recv(65536)
                        if not data:
                            return
                        if left is not None and source is server:
                            data, left = data[:left], left - len(data)
                        other[source].sendall(data)
                        if left is not None and left <= 0:
                            self.reset += 1
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                            return
                except (OSError, ValueError):
                    return  # the test has ended

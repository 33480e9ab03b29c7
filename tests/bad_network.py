"""A network that breaks on demand, between a client and the emulator: every byte passes through, until it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from typing_extensions import Self

Breaks = Callable[[str, int], bool]
_STREAMS = {"RunQuery", "BatchGetDocuments", "RunAggregationQuery"}


class BadNetwork(grpc.GenericRpcHandler):
    """Forwards RPCs; each question is asked with the method's name and how many of its calls there were.

    Args:
        host: of the emulator.
        refuses: whether a request is lost before it arrives.
        loses: whether the answer is lost after the server did what was asked.
        cuts: after how many messages a stream breaks; 0 for never.
        code: what the client sees.
    """

    def __init__(
        self,
        host: str,
        refuses: Breaks = lambda _, __: False,
        loses: Breaks = lambda _, __: False,
        cuts: int = 0,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    ) -> None:
        self._refuses, self._loses, self._cuts, self._code = refuses, loses, cuts, code
        self._to_emulator = grpc.insecure_channel(
            host, options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        )
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
        self._server.add_generic_rpc_handlers((self,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.calls: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._to_emulator.close()

    def service(self, details: Any) -> Any:
        """The handler of one RPC."""
        name = details.method.rsplit("/", 1)[-1]
        if name in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._stream(details.method, name, request, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._unary(details.method, name, request, context)
        )

    def _unary(self, method: str, name: str, request: bytes, context: Any) -> bytes:
        number = self._begin(name, context)
        try:
            answer = self._to_emulator.unary_unary(method)(request, metadata=context.invocation_metadata())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if self._loses(name, number):
            self._break(name, context)
        return answer  # type: ignore[no-any-return]

    def _stream(self, method: str, name: str, request: bytes, context: Any) -> Iterator[bytes]:
        self._begin(name, context)
        answers = self._to_emulator.unary_stream(method)(request, metadata=context.invocation_metadata())
        try:
            for sent, answer in enumerate(answers):
                if self._cuts and name == "RunQuery" and sent == self._cuts:
                    self._break(name, context)
                yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _begin(self, name: str, context: Any) -> int:
        self.calls[name] += 1
        if self._refuses(name, self.calls[name]):
            self._break(name, context)
        return self.calls[name]

    def _break(self, name: str, context: Any) -> None:
        self.broken[name] += 1
        context.abort(self._code, "the network broke")

"""A network that breaks on demand, between a client and the emulator: every byte passes through, until it does not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

if TYPE_CHECKING:
    from typing_extensions import Self

Breaks = Callable[[str, int], bool]
_STREAMS = {"RunQuery", "BatchGetDocuments", "RunAggregationQuery"}
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_LONG = 30.0


class Fault(NamedTuple):
    """What becomes of one call; made by the functions below.

    Attributes:
        code: what the client is told; None when the call goes well.
        is_lost_before: the request never arrives.
        is_late: the client is told at once, and the request arrives afterwards.
        delay: seconds that the request is under way; None for a late one: until it is let go.
        messages: answers of a stream that come through before it breaks.
    """

    code: grpc.StatusCode | None
    is_lost_before: bool = False
    is_late: bool = False
    delay: float | None = 0
    messages: int = 0


def refused(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Fault:
    """The request is lost before it arrives, or turned away."""
    return Fault(code, is_lost_before=True)


def unanswered(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, messages: int = 0) -> Fault:
    """The server does what was asked, and the answer is lost; of a stream, after so many messages."""
    return Fault(code, messages=messages)


def slow(seconds: float) -> Fault:
    """Request and answer arrive, the request so much later."""
    return Fault(None, delay=seconds)


def late(seconds: float | None = None, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Fault:
    """The client is told that it failed, and then the request arrives: so much later, or when it is let go."""
    return Fault(code, is_late=True, delay=seconds)


Schedule = Callable[[str, int], "Fault | None"]


class BadNetwork(grpc.GenericRpcHandler):
    """Forwards RPCs; each question is asked with the method's name and how many of its calls there were.

    Args:
        host: of the emulator.
        refuses: whether a request is lost before it arrives.
        loses: whether the answer is lost after the server did what was asked.
        cuts: after how many messages a stream breaks; 0 for never.
        code: what the client sees.
        schedule: what becomes of a call, where these three are not enough.
    """

    def __init__(
        self,
        host: str,
        refuses: Breaks = lambda _, __: False,
        loses: Breaks = lambda _, __: False,
        cuts: int = 0,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        schedule: Schedule = lambda _, __: None,
    ) -> None:
        self._refuses, self._loses, self._cuts, self._code, self._schedule = refuses, loses, cuts, code, schedule
        self._to_emulator = grpc.insecure_channel(host, options=_NO_LIMIT)
        self._server = grpc.server(ThreadPoolExecutor(32), options=_NO_LIMIT)
        self._server.add_generic_rpc_handlers((self,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._lock = threading.Lock()
        self._held: list[Callable[[], str]] = []
        self._travelling: list[threading.Thread] = []
        self.calls: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.late: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        for thread in self._travelling:
            thread.join()
        self._to_emulator.close()

    @property
    def held(self) -> int:
        """How many late requests wait to be let go."""
        return len(self._held)

    def let_go(self) -> list[str]:
        """Let every held request arrive, in the order of their sending; what the server made of each."""
        with self._lock:
            held, self._held = self._held, []
        return [send() for send in held]

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
        fault = self._begin(method, name, request, context)
        try:
            answer = self._to_emulator.unary_unary(method)(request, metadata=context.invocation_metadata())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if fault is not None and fault.code is not None:
            self._break(name, context, fault.code)
        return answer  # type: ignore[no-any-return]

    def _stream(self, method: str, name: str, request: bytes, context: Any) -> Iterator[bytes]:
        fault = self._begin(method, name, request, context)
        answers = self._to_emulator.unary_stream(method)(request, metadata=context.invocation_metadata())
        try:
            for sent, answer in enumerate(answers):
                if fault is not None and fault.code is not None and sent == fault.messages:
                    self._break(name, context, fault.code)
                yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _begin(self, method: str, name: str, request: bytes, context: Any) -> Fault | None:
        """Count the call and do to its request what is to be done; the rest of the fault is for its answer."""
        with self._lock:
            self.calls[name] += 1
            fault = self._fault(name, self.calls[name])
        if fault is None:
            return None
        code = fault.code or grpc.StatusCode.UNAVAILABLE
        if fault.is_late:
            self._keep(method, request, context, fault.delay)
        if fault.is_late or fault.is_lost_before:
            self._break(name, context, code)
        if fault.delay:
            time.sleep(fault.delay)
        return fault

    def _fault(self, name: str, number: int) -> Fault | None:
        if self._refuses(name, number):
            return refused(self._code)
        if name not in _STREAMS:
            return unanswered(self._code) if self._loses(name, number) else self._schedule(name, number)
        if self._cuts and name == "RunQuery":
            return unanswered(self._code, self._cuts)
        return self._schedule(name, number)

    def _keep(self, method: str, request: bytes, context: Any, delay: float | None) -> None:
        """Keep a request that the client is told has failed. The server drops it where its deadline has passed."""
        metadata = context.invocation_metadata()
        deadline = time.monotonic() + min(_LONG, context.time_remaining() or _LONG)

        def send() -> str:
            try:
                rest = max(0.0, deadline - time.monotonic())
                self._to_emulator.unary_unary(method)(request, metadata=metadata, timeout=rest)
            except grpc.RpcError as error:
                became = str(error.code().name)
            else:
                became = "OK"
            with self._lock:
                self.late[became] += 1
            return became

        with self._lock:
            if delay is None:
                self._held.append(send)
                return
            thread = threading.Timer(delay, send)
            self._travelling.append(thread)
        thread.start()

    def _break(self, name: str, context: Any, code: grpc.StatusCode) -> None:
        with self._lock:
            self.broken[name] += 1
        context.abort(code, "the network broke")

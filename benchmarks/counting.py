"""A proxy that counts what crosses it: RPCs, which are HTTP/2 streams that the client opens, and bytes each way."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_PREFACE = 24
_FRAME = 9
_HEADERS = 1
_AT_ONCE = 1 << 16


class CountingProxy:
    """Passes every connection on to a server, unaltered.

    Attributes:
        rpcs: that were begun.
        sent: bytes from the client.
        received: bytes to it.
    """

    def __init__(self, server: str) -> None:
        self._server = server.rsplit(":", 1)
        self.rpcs = self.sent = self.received = 0
        self.host = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._is_ready.set()
        await self._over.wait()
        server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._server)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await asyncio.gather(self._up(reader, far_writer), self._down(far_reader, writer))
        finally:
            for one in (writer, far_writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(_PREFACE))
        self.sent += _PREFACE
        while True:
            head = await reader.readexactly(_FRAME)
            length = int.from_bytes(head[:3], "big")
            writer.write(head + await reader.readexactly(length))
            await writer.drain()
            self.sent += _FRAME + length
            self.rpcs += head[3] == _HEADERS

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_AT_ONCE):
            self.received += len(data)
            writer.write(data)
            await writer.drain()

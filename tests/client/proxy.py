"""A network between a client and its server: it can lose what the server says, and be cut."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Proxy:
    """`deafen`: what the server sends is lost from now on. `cut` ends all connections; new ones hear again. While it is `shut` there are none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._deaf = self._shut = False
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps)

    def deafen(self) -> None:
        self._deaf = True

    def shut(self) -> None:
        self._shut = True
        self.cut()

    def reopen(self) -> None:
        self._shut = False

    def cut(self) -> None:
        self._deaf = False
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shut:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, server_writer]
        for source, target, lossy in ((reader, server_writer, False), (server_reader, writer, True)):
            pump = asyncio.create_task(self._pump(source, target, lossy))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, lossy: bool) -> None:
        try:
            while data := await source.read(65_536):
                if not (lossy and self._deaf):
                    target.write(data)
                    await target.drain()
        except OSError:
            pass
        target.transport.abort()

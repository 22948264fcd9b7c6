"""A network between a client and its server: it can be cut, lose what one side says, hold everything up, be slow, and stutter."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType

CHUNK_BYTES = 65_536


class Proxy:
    """What it does to all connections until it is told otherwise:

    `deafen`   what the server sends is lost;  `mute`: what the client sends is
    `hold`     nothing passes in either direction, and all of it later, in order: a link that drops packets, as TCP sees it
    `cut`      ends all connections; new ones are whole.  While it is `shut` there are none
    `delay_s`  everything comes so much later;  `stall`: (share, seconds): such a share of all chunks comes in two halves, so far apart
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._deaf = self._mute = self._shut = False
        self._open = asyncio.Event()
        self._open.set()
        self.delay_s = 0.0
        self.stall = (0.0, 0.0)
        self.connections = 0
        """How many there have been."""
        self._random = random.Random(port)
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._server.close()
        self._open.set()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def deafen(self) -> None:
        self._deaf = True

    def mute(self) -> None:
        self._mute = True

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        """What was held up goes on its way."""
        self._open.set()

    def shut(self) -> None:
        self._shut = True
        self.cut()

    def reopen(self) -> None:
        self._shut = False

    def cut(self) -> None:
        self._deaf = self._mute = False
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
        self.connections += 1
        self._writers += [writer, server_writer]
        for source, target, down in ((reader, server_writer, False), (server_reader, writer, True)):
            pump = asyncio.create_task(self._pump(source, target, down))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, down: bool) -> None:
        late = _Late(target)
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._open.wait()  # the other side fills its buffers meanwhile, as it would
                if self._deaf if down else self._mute:
                    continue
                if self.delay_s or self.stall[0] or late.waiting:
                    late.put(data, self.delay_s, self.stall[1] if self._random.random() < self.stall[0] else 0.0)
                else:
                    target.write(data)
                    await target.drain()
            await late.through()
        except OSError:
            pass
        finally:
            late.drop()
        target.transport.abort()


class _Late:
    """What is delayed or stalled on its way to one side, in order. `waiting`: how many chunks are."""

    def __init__(self, target: asyncio.StreamWriter) -> None:
        self.waiting = 0
        self._target = target
        self._line: asyncio.Queue[tuple[float, bytes, float]] = asyncio.Queue()
        self._carrier: asyncio.Task[None] | None = None

    def put(self, data: bytes, delay_s: float, pause_s: float) -> None:
        self.waiting += 1
        self._line.put_nowait((asyncio.get_running_loop().time() + delay_s, data, pause_s))
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry())

    async def through(self) -> None:
        await self._line.join()

    def drop(self) -> None:
        if self._carrier is not None:
            self._carrier.cancel()

    async def _carry(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data, pause_s = await self._line.get()
            await asyncio.sleep(max(due - now(), 0))
            if pause_s:
                self._target.write(data[: len(data) // 2])
                await asyncio.sleep(pause_s)
                data = data[len(data) // 2 :]
            self._target.write(data)
            self.waiting -= 1
            self._line.task_done()

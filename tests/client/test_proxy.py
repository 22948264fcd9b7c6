"""The network of these tests does what it says: else a test in which it fails would prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ..fleet.running import run
from ..fleet.trouble import until
from .proxy import Proxy


class Ends:
    """A client and a server with a network between them. The server says `!` to every byte that it hears."""

    def __init__(self, network: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_heard: bytearray) -> None:
        self.network, self.server_heard, self.client_heard = network, server_heard, bytearray()
        self._reader, self._writer = reader, writer
        self.listening = asyncio.create_task(self._listen())

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def heard(self, server: bytes, client: bytes) -> None:
        """Wait until both have heard just this."""
        await until(lambda: (self.server_heard, self.client_heard) == (server, client), f"heard: {self.server_heard} {self.client_heard}")

    async def _listen(self) -> None:
        with suppress(OSError):
            while data := await self._reader.read(100):
                self.client_heard += data


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    server_heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1):
                server_heard.extend(data)
                writer.write(b"!")
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(network.url.rpartition(":")[2]))
        one = Ends(network, reader, writer, server_heard)
        one.say(b"a")
        await one.heard(b"a", b"!")
        yield one
        network.cut()
        await one.listening


def test_what_the_server_says_is_lost() -> None:
    async def test() -> None:
        async with ends() as one:
            one.network.deafen()
            one.say(b"bc")
            await one.heard(b"abc", b"!")

    run(test())


def test_what_the_client_says_is_lost() -> None:
    async def test() -> None:
        async with ends() as one:
            one.network.mute()
            one.say(b"b")
            await asyncio.sleep(0.05)
            await one.heard(b"a", b"!")

    run(test())


def test_what_is_held_up_comes_later_and_in_order() -> None:
    async def test() -> None:
        async with ends() as one:
            one.network.hold()
            for data in (b"b", b"c", b"d"):
                one.say(data)
                await asyncio.sleep(0.02)
            await one.heard(b"a", b"!")
            one.network.release()
            await one.heard(b"abcd", b"!!!!")

    run(test())


def test_what_is_late_or_stalled_stays_in_order_before_what_is_not() -> None:
    async def test() -> None:
        async with ends() as one:
            one.network.delay_s, one.network.stall = 0.05, (1.0, 0.02)
            one.say(b"bcdef")
            await asyncio.sleep(0.01)
            await one.heard(b"a", b"!")
            one.network.delay_s, one.network.stall = 0.0, (0.0, 0.0)
            one.say(b"g")
            await one.heard(b"abcdefg", b"!" * 7)

    run(test())


def test_a_cut_ends_the_connection_and_while_it_is_shut_there_is_none() -> None:
    async def test() -> None:
        async with ends() as one:
            one.network.shut()
            await one.listening
            reader, _ = await asyncio.open_connection("127.0.0.1", int(one.network.url.rpartition(":")[2]))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert one.network.connections == 1
            one.network.reopen()
            _, writer = await asyncio.open_connection("127.0.0.1", int(one.network.url.rpartition(":")[2]))
            writer.write(b"b")
            await until(lambda: one.server_heard == b"ab", "the new connection is whole")
            writer.transport.abort()

    run(test())

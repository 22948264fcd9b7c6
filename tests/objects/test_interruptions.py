"""Puts and gets that are cut off: they go on where they were, by themselves or when they are tried again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from jetfleet.broker.client import Connection, StreamFull
from jetfleet.broker.objects.chunks import Place
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.objects.stream_chunks import StreamChunks
from jetfleet.schemas import subjects
from jetfleet.schemas.payload_errors import ObjectsFull, PayloadLost

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from ..fleet.trouble import restarted
from .around import CountedChunks, HeldChunks, deployed, got, sequences, some_chunks, stored

ROOM_BYTES = 8 << 20


class RefusedChunks(StreamChunks):
    """Chunks in the stream; `refused` is set when it has no room. `blind`: nobody asks before, and the server refuses."""

    def __init__(self, connection: Connection, blind: bool) -> None:
        super().__init__(connection)
        self.refused, self._blind = asyncio.Event(), blind

    async def check_room(self, size_bytes: int) -> None:
        if not self._blind:
            await self._noticed(super().check_room(size_bytes))

    async def put(self, place: Place, n: int, data: bytes) -> None:
        await self._noticed(super().put(place, n, data))

    async def _noticed(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except StreamFull:
            self.refused.set()
            raise


def test_a_put_that_was_cancelled_goes_on_where_it_ended(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            body, held = some_chunks(40), HeldChunks(connection, free=25)
            putting = asyncio.create_task(ObjectStore(connection, held).put(body, run="r"))
            await held.held.wait()
            putting.cancel()
            with suppress(asyncio.CancelledError):
                await putting
            present = await sequences(connection, "chunk")
            assert len(present) == 25
            rest = CountedChunks(connection)
            digest = await ObjectStore(connection, rest).put(body, run="r")
            assert sorted(rest.numbers + held.numbers) == list(range(40))
            assert (await sequences(connection, "chunk")).items() >= present.items()
            assert await got(ObjectStore(connection), digest) == body

    run(test())


def test_a_half_put_object_is_not_there(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            held = HeldChunks(connection, free=3)
            putting = asyncio.create_task(ObjectStore(connection, held).put(some_chunks(40), run="r"))
            await held.held.wait()
            digest = (await stored(connection, "meta"))[0].rpartition(".")[2]
            store = ObjectStore(connection)
            assert await store.size(digest) is None
            with pytest.raises(PayloadLost, match="never stored as a whole"):
                await got(store, digest)
            held.release.set()
            assert await putting == digest
            assert await store.size(digest) == len(some_chunks(40))

    run(test())


def test_a_put_goes_on_when_the_server_is_killed_and_comes_back(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            body, held = some_chunks(60), HeldChunks(connection, free=20)
            store = ObjectStore(connection, held)
            putting = asyncio.create_task(store.put(body, run="r"))
            await held.held.wait()
            server.kill()
            held.release.set()
            await asyncio.to_thread(server.restart)
            assert await got(store, await putting) == body

    run(test())


def test_a_get_goes_on_when_the_server_is_killed_and_comes_back(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection), some_chunks(60)
            digest = await store.put(body, run="r")
            out, begun, loop = bytearray(), asyncio.Event(), asyncio.get_running_loop()

            def into(piece: memoryview) -> None:
                out.extend(piece)
                loop.call_soon_threadsafe(begun.set)

            getting = asyncio.create_task(store.get(digest, into))
            await begun.wait()
            await restarted(server)
            await getting
            assert out == body

    run(test())


def test_a_get_that_is_cancelled_ends_when_nobody_writes_for_it_any_more(server: BackgroundServer) -> None:
    """What it was writing to is used again then."""

    async def test() -> None:
        async with deployed(server) as connection:
            store, loop = ObjectStore(connection), asyncio.get_running_loop()
            digest = await store.put(some_chunks(4), run="r")
            writing, may_end, pieces = asyncio.Event(), threading.Event(), list[bytes]()

            def into(piece: memoryview) -> None:
                loop.call_soon_threadsafe(writing.set)
                may_end.wait(10)
                pieces.append(bytes(piece))

            getting = asyncio.create_task(store.get(digest, into))
            await writing.wait()
            for _ in range(2):
                getting.cancel()
                assert (await asyncio.wait([getting], timeout=0.05))[1], "it waits for the thread"
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await getting
            written = len(pieces)
            await got(store, digest)
            assert len(pieces) == written

    run(test())


@pytest.mark.parametrize("blind", [False, True])
def test_a_put_into_a_full_store_says_so_and_gives_its_room_back(server: BackgroundServer, blind: bool) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            await _give_room(connection, ROOM_BYTES)
            small = await ObjectStore(connection).put(some_chunks(4, seed=1), run="small")
            with pytest.raises(ObjectsFull, match="raise `max_bytes`") as full:
                await ObjectStore(connection, RefusedChunks(connection, blind), patience_s=0.3).put(some_chunks(40), run="large")
            assert full.value.retryable
            assert {each.split(".")[2] for each in await stored(connection, "chunk")} == {small}
            store = ObjectStore(connection, patience_s=0.3)
            assert await got(store, await store.put(some_chunks(8, seed=2), run="next")) == some_chunks(8, seed=2)

    run(test())


@pytest.mark.parametrize("blind", [False, True])
def test_a_put_waits_for_room(server: BackgroundServer, blind: bool) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            await _give_room(connection, ROOM_BYTES)
            refused = RefusedChunks(connection, blind)
            putting = asyncio.create_task(ObjectStore(connection, refused).put(some_chunks(40), run="large"))
            await refused.refused.wait()
            await _give_room(connection, 10 * ROOM_BYTES)
            assert await got(ObjectStore(connection), await putting) == some_chunks(40)

    run(test())


async def _give_room(connection: Connection, max_bytes: int) -> None:
    info = await connection.streams.stream_info(subjects.OBJECTS)
    assert info is not None
    await connection.streams.create_or_update_stream({**info["config"], "max_bytes": max_bytes})

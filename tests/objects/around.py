"""What the tests of the object store stand on: a deployment, bodies, chunks that can be held up, and looks into the stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.objects.chunks import Place
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.objects.stream_chunks import CHUNK_BYTES, StreamChunks
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from ..fleet.background import BackgroundServer


@asynccontextmanager
async def deployed(server: BackgroundServer) -> AsyncIterator[Connection]:
    async with await Connection.open(server.url, name="test") as connection:
        await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
        yield connection


def some_bytes(size: int, seed: int = 0) -> memoryview:
    return memoryview(random.Random(seed).randbytes(size))


def some_chunks(count: float, seed: int = 0) -> memoryview:
    """So many chunks of the stream, the last perhaps a part of one."""
    return some_bytes(int(count * CHUNK_BYTES), seed)


async def got(store: ObjectStore, digest: str, key: str = "") -> bytes:
    out = bytearray()
    await store.get(digest, out.extend, key=key)
    return bytes(out)


async def stored(connection: Connection, kind: str) -> list[str]:
    """The subjects of a kind (chunk, meta, pin) with a message."""
    return sorted(await connection.streams.subjects(subjects.OBJECTS, f"object.{kind}.>"))


async def sequences(connection: Connection, kind: str) -> dict[str, int]:
    """The sequence of the message on each subject: another one means that it was stored again."""
    return {each.subject: each.seq for each in await connection.streams.last_of_each(subjects.OBJECTS, f"object.{kind}.>")}


class HeldChunks(StreamChunks):
    """Chunks in the stream. `free` of them can be put, then `held` is set; the others wait for `release`. `numbers`: which were put."""

    def __init__(self, connection: Connection, free: int) -> None:
        super().__init__(connection)
        self.free, self.numbers = free, list[int]()
        self.held, self.release = asyncio.Event(), asyncio.Event()
        self._begun = 0

    async def put(self, place: Place, n: int, data: bytes) -> None:
        self._begun += 1
        if self._begun > self.free:
            await self.release.wait()
        await super().put(place, n, data)
        self.numbers.append(n)
        if len(self.numbers) == self.free:
            self.held.set()


class CountedChunks(HeldChunks):
    """Chunks in the stream, none of them held."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, free=1 << 30)

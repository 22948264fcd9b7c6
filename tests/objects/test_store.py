"""The object store on a real server: what was put is what one gets, once for all who put it."""

from __future__ import annotations

import asyncio
import hashlib
from array import array

import msgspec
import pytest

from jetfleet.broker.objects.meta import Meta
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.objects.stream_chunks import CHUNK_BYTES, WINDOW_BYTES
from jetfleet.schemas import subjects
from jetfleet.schemas.payload_errors import PayloadCorrupt, PayloadLost

from ..fleet.background import BackgroundServer
from ..fleet.running import run
from .around import CountedChunks, deployed, got, sequences, some_bytes, some_chunks, stored


def test_what_was_put_is_what_one_gets(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            for size in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, WINDOW_BYTES + 3 * CHUNK_BYTES + 7):
                body = some_bytes(size, seed=size)
                digest = await store.put(body, run="r")
                assert digest == hashlib.sha256(body).hexdigest()
                assert await store.size(digest) == size
                assert await got(store, digest) == body

    run(test())


def test_pieces_come_in_order_and_are_no_larger_than_chunks(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection), some_chunks(20.5)
            pieces: list[bytes] = []
            await store.get(await store.put(body, run="r"), lambda piece: pieces.append(bytes(piece)))
            assert b"".join(pieces) == body
            assert max(map(len, pieces)) <= CHUNK_BYTES

    run(test())


def test_any_buffer_is_put_as_its_bytes(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, numbers = ObjectStore(connection), array("d", [1.5, 2.5, 3.5])
            assert await got(store, await store.put(memoryview(numbers), run="r")) == numbers.tobytes()

    run(test())


def test_the_same_bytes_are_stored_once(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            body, again = some_chunks(3.5), CountedChunks(connection)
            digest = await ObjectStore(connection).put(body, run="a")
            before = await sequences(connection, "chunk")
            assert await ObjectStore(connection, again).put(body, run="b") == digest
            assert again.numbers == []
            assert await sequences(connection, "chunk") == before
            assert await stored(connection, "pin") == [f"object.pin.a.{digest}", f"object.pin.b.{digest}"]

    run(test())


def test_puts_of_the_same_bytes_at_a_time_all_succeed(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            body = some_chunks(5.5)
            stores = [ObjectStore(connection) for _ in range(8)]
            digests = await asyncio.gather(*(store.put(body, run=f"r{n}") for n, store in enumerate(stores)))
            assert len(set(digests)) == 1
            assert await got(stores[0], digests[0]) == body

    run(test())


def test_a_get_of_nothing_says_so(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            with pytest.raises(PayloadLost, match="no object"):
                await got(store, "ab" * 32)
            assert await store.size("ab" * 32) is None
            with pytest.raises(PayloadLost, match="no object"):
                await store.pin("r", "ab" * 32)

    run(test())


def test_a_lost_chunk_is_an_error_and_the_next_put_repairs_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection), some_chunks(4)
            digest = await store.put(body, run="r")
            await connection.streams.purge(subjects.OBJECTS, subject=subjects.object_chunk(digest, 2))
            with pytest.raises(PayloadLost, match="chunk 2"):
                await got(store, digest)
            assert await store.size(digest) is None
            assert await store.put(body, run="r") == digest
            assert await got(store, digest) == body

    run(test())


@pytest.mark.parametrize("length", [CHUNK_BYTES, CHUNK_BYTES - 1, 0])
def test_other_bytes_are_an_error_and_the_next_put_repairs_them(server: BackgroundServer, length: int) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, body = ObjectStore(connection), some_chunks(4)
            digest = await store.put(body, run="r")
            await connection.publisher.publish(subjects.object_chunk(digest, 1), bytes(some_bytes(length, seed=7)))
            with pytest.raises(PayloadCorrupt):
                await got(store, digest)
            assert await store.put(body, run="r") == digest
            assert await got(store, digest) == body

    run(test())


def test_a_meta_that_is_none_is_an_error(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            digest = await store.put(some_bytes(10), run="r")
            await connection.publisher.publish(subjects.object_meta(digest), b"\xc1")
            with pytest.raises(PayloadCorrupt, match="meta"):
                await got(store, digest)

    run(test())


def test_a_run_of_any_name_can_pin(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store, names = ObjectStore(connection), ["a.b[3].c", "a=2eb", "ä ö*>", "x" * 1_000, "a.b"]
            for name in names:
                digest = await store.put(some_bytes(10), run=name)
            assert len(await stored(connection, "pin")) == len(names)
            for name in names:
                await store.unpin(name, keep=[digest])
                await store.unpin(name)
            assert await stored(connection, "pin") == []

    run(test())


def test_unpinning_keeps_what_is_to_be_kept(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            digests = [await store.put(some_bytes(10, seed), run="r") for seed in range(3)]
            other = await store.put(some_bytes(10), run="r.child")
            await store.unpin("r", keep=[digests[1]])
            assert await stored(connection, "pin") == sorted([f"object.pin.r.{digests[1]}", f"object.pin.r=2echild.{other}"])

    run(test())


@pytest.mark.parametrize("asked", ["another", "*"])
def test_a_meta_that_is_another_objects_leads_to_no_bytes(server: BackgroundServer, asked: str) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            digest = await store.put(some_chunks(1), run="r")
            meta = await connection.streams.last(subjects.OBJECTS, subjects.object_meta(digest))
            assert meta is not None
            await connection.publisher.publish(subjects.object_meta("another"), meta.data)
            with pytest.raises(PayloadCorrupt, match="another object"):
                await got(store, asked)
            assert await got(store, digest) == some_chunks(1)

    run(test())


def test_a_meta_that_cannot_be_is_damage_and_not_a_defect(server: BackgroundServer) -> None:
    async def test() -> None:
        async with deployed(server) as connection:
            store = ObjectStore(connection)
            for wrong in (Meta("ab" * 32, -1, 512, "u"), Meta("ab" * 32, 1, 0, "u"), Meta("ab" * 32, 1, -5, "u")):
                await connection.publisher.publish(subjects.object_meta("ab" * 32), msgspec.msgpack.encode(wrong))
                with pytest.raises(PayloadCorrupt, match="meta of object abab"):
                    await got(store, "ab" * 32)

    run(test())

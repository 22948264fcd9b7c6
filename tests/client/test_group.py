"""A group: many messages share a write, and each of them is stored once, refused or unknown by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from jetfleet.broker.client import Connection, ConnectionClosed, PayloadTooLarge, PubAck, StoredMessage, StreamFull, group
from jetfleet.broker.client.wire import encode_publish
from jetfleet.schemas.errors import UsageError

from .proxy import Proxy
from .servers import Names, Server, run

ATOMIC = {"allow_atomic": True}


async def read(connection: Connection, names: Names) -> list[StoredMessage]:
    return [message async for message in connection.streams.read(names.stream)]


def submitted(connection: Connection, names: Names, ids: Sequence[Any]) -> list[asyncio.Future[PubAck]]:
    """A message for each id, with the id as its body."""
    return [connection.group(names.stream).submit(names("a"), str(id).encode(), id=str(id)) for id in ids]


def batches(stored: Sequence[StoredMessage]) -> dict[str, list[StoredMessage]]:
    found: dict[str, list[StoredMessage]] = {}
    for message in stored:
        if "Nats-Batch-Id" in message.headers:
            found.setdefault(message.headers["Nats-Batch-Id"], []).append(message)
    return found


def test_many_messages_are_stored_in_order_each_of_its_own_and_together(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            acks = await asyncio.gather(*submitted(connection, names, range(2_000)))
            stored = await read(connection, names)
            assert [message.data for message in stored] == [b"%d" % number for number in range(2_000)]
            assert [ack.seq for ack in acks] == [message.seq for message in stored]
            assert {ack.stream for ack in acks} == {names.stream} and not any(ack.duplicate for ack in acks)
            assert all(message.headers["Nats-Msg-Id"] == str(number) for number, message in enumerate(stored))
            assert len(batches(stored)) == -(-2_000 // group.MANY)

    run(test())


def test_a_few_messages_are_no_batch(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            await submitted(connection, names, ["alone"])[0]
            await asyncio.gather(*submitted(connection, names, range(group.FEW - 1)))
            stored = await read(connection, names)
            assert len(stored) == group.FEW and not batches(stored)

    run(test())


def test_where_there_is_no_room_for_all_the_first_ones_are_stored_and_the_others_are_told(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC, max_msgs=50, discard="new")
            told = await asyncio.gather(*submitted(connection, names, range(120)), return_exceptions=True)
            assert [isinstance(each, PubAck) for each in told] == [True] * 50 + [False] * 70
            assert all(isinstance(each, StreamFull) and each.err_code == 10077 for each in told[50:])
            assert [int(message.data) for message in await read(connection, names)] == list(range(50))
            await connection.streams.purge(names.stream)
            await asyncio.gather(*submitted(connection, names, range(200, 240)))
            assert len(await read(connection, names)) == 40

    run(test())


def test_an_id_that_the_stream_has_or_that_comes_twice_in_a_batch_holds_up_nobody(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            first = await asyncio.gather(*submitted(connection, names, range(40)))
            again = await asyncio.gather(*submitted(connection, names, [*range(30, 80), 79, 50]))
            assert [ack.seq for ack in again[:10]] == [ack.seq for ack in first[30:]]
            assert [ack.duplicate for ack in again] == [True] * 10 + [False] * 40 + [True] * 2
            assert [int(message.data) for message in await read(connection, names)] == list(range(80))

    run(test())


def test_a_stream_that_takes_no_batches_gets_single_messages(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            acks = await asyncio.gather(*submitted(connection, names, range(100)))
            stored = await read(connection, names)
            assert [ack.seq for ack in acks] == list(range(1, 101)) and not batches(stored)

    run(test())


def test_a_batch_whose_answer_is_lost_is_stored_once(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with (
            Proxy(shared.port) as proxy,
            await Connection.open(shared.url, name="beside") as beside,
            await Connection.open(proxy.url, name="test") as connection,
        ):
            await names.create(beside, **ATOMIC)
            proxy.deafen()
            pending = submitted(connection, names, range(100))
            while len(await read(beside, names)) < 100:
                await asyncio.sleep(0.005)
            assert not any(each.done() for each in pending)
            proxy.cut()
            acks = await asyncio.gather(*pending)
            assert [ack.seq for ack in acks] == list(range(1, 101)) and all(ack.duplicate for ack in acks)
            assert len(await read(beside, names)) == 100

    run(test())


def test_every_message_is_stored_once_and_in_order_although_the_server_is_killed_again_and_again(server: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            pending: list[asyncio.Future[PubAck]] = []
            for number in range(4_000):
                pending += submitted(connection, names, [number])
                if number % 1_000 == 700:
                    await pending[-300]
                    server.restart()
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*pending)
            assert [int(message.data) for message in await read(connection, names)] == list(range(4_000))

    run(test())


def test_a_batch_without_an_end_stores_nothing_and_others_go_on(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            async with await Connection.open(shared.url, name="dies") as dying:
                for number in range(1, 31):
                    headers = {"Nats-Batch-Id": "cut-off", "Nats-Batch-Sequence": str(number), "Nats-Msg-Id": str(number)}
                    dying.try_write(encode_publish(names("a"), b"never", headers=headers)[0])
            await asyncio.gather(*submitted(connection, names, range(1, 41)))
            assert [int(message.data) for message in await read(connection, names)] == list(range(1, 41))

    run(test())


def test_what_cannot_be_sent_fails_alone_and_large_messages_keep_their_place(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            together = connection.group(names.stream)
            sizes = [10, 100_000, 10, connection.max_payload + 1] * 10 + [10] * 20
            pending = [together.submit(names("a"), b"x" * size) for size in sizes]
            with pytest.raises(UsageError):
                together.submit(names("a"), b"", headers={"two words": "x"})
            with pytest.raises(UsageError):
                together.submit("two words", b"")
            told = await asyncio.gather(*pending, return_exceptions=True)
            fit = [size for size in sizes if size <= connection.max_payload]
            assert [len(message.data) for message in await read(connection, names)] == fit
            assert all(isinstance(each, PayloadTooLarge) == (size > connection.max_payload) for each, size in zip(told, sizes, strict=True))

    run(test())


def test_a_message_that_nobody_waits_for_any_more_does_not_leave(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection, **ATOMIC)
            pending = submitted(connection, names, range(60))
            for each in pending[::2]:
                each.cancel()
            await asyncio.gather(*pending[1::2])
            assert [int(message.data) for message in await read(connection, names)] == list(range(1, 60, 2))

    run(test())


def test_what_was_under_way_when_the_connection_was_closed_says_whether_it_may_be_stored(server: Server, names: Names) -> None:
    async def test() -> None:
        connection = await Connection.open(server.url, name="test")
        await names.create(connection, **ATOMIC)
        server.pause()
        pending = submitted(connection, names, range(group.MANY + 40))
        await asyncio.sleep(0)  # the first batch is written, the rest waits
        await connection.close()
        server.resume()
        told = await asyncio.gather(*pending, *submitted(connection, names, ["late"]), return_exceptions=True)
        assert all(isinstance(each, ConnectionClosed) for each in told)
        assert [each.maybe_done for each in told if isinstance(each, ConnectionClosed)] == [True] * group.MANY + [False] * 41

    run(test())

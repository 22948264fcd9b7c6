"""Streams and consumers are made, changed, looked at and deleted; messages are read without a consumer."""

from __future__ import annotations

import asyncio

import pytest

from jetfleet.broker.client import Connection, NoResponders, NotFound, Refused, StreamFull

from .servers import Names, Server, run


async def fill(connection: Connection, subjects: list[str], data: bytes = b"x") -> None:
    await asyncio.gather(*(connection.publisher.submit(subject, data) for subject in subjects))


def test_a_stream_is_made_changed_and_deleted(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            streams = connection.streams
            assert await streams.stream_info(names.stream) is None
            await names.create(connection)
            await names.create(connection)
            info = await streams.create_or_update_stream({"name": names.stream, "subjects": [names(">")], "max_msgs": 7})
            assert info["config"]["max_msgs"] == 7
            assert names.stream in await streams.names()
            assert await streams.of(names("a")) == names.stream
            assert await streams.of("nowhere") == ""
            with pytest.raises(Refused, match="storage type"):
                await names.create(connection, storage="memory")
            assert await streams.delete_stream(names.stream)
            assert not await streams.delete_stream(names.stream)

    run(test())


def test_what_the_server_cannot_do_is_refused_with_its_reason(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(Refused, match="json"):
                await names.create(connection, no_such_option=True)
            with pytest.raises(StreamFull, match="insufficient"):
                await names.create(connection, max_bytes=1 << 60)

    run(test())


def test_a_consumer_is_made_changed_and_deleted(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            streams = connection.streams
            assert await streams.consumer_info(names.stream, "d") is None
            with pytest.raises(NotFound):
                await streams.create_or_update_consumer(names.stream, {"durable_name": "d"})
            await names.create(connection)
            assert await streams.consumer_info(names.stream, "d") is None
            await streams.create_or_update_consumer(names.stream, {"durable_name": "d", "ack_policy": "explicit"})
            await streams.create_or_update_consumer(names.stream, {"durable_name": "d", "ack_policy": "explicit", "max_deliver": 3})
            info = await streams.consumer_info(names.stream, "d")
            assert info is not None
            assert info["config"]["max_deliver"] == 3
            assert await streams.delete_consumer(names.stream, "d")
            assert not await streams.delete_consumer(names.stream, "d")

    run(test())


def test_the_last_message_of_a_subject_is_found(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            streams = connection.streams
            await names.create(connection)
            assert await streams.last(names.stream, names("a")) is None
            await fill(connection, [names("a"), names("b")])
            await connection.publisher.publish(names("a"), bytes(range(256)), headers={"K": "v"}, id="i")
            found = await streams.last(names.stream, names("a"))
            assert found is not None
            assert (found.seq, found.subject, found.data) == (3, names("a"), bytes(range(256)))
            assert dict(found.headers) == {"K": "v", "Nats-Msg-Id": "i"}
            assert found == await streams.get(names.stream, 3)
            assert [found] == [message async for message in streams.read(names.stream, start_seq=3)]
            assert await streams.get(names.stream, 4) is None
            with pytest.raises(NotFound, match="stream not found"):
                await streams.last("NOWHERE", "x")

    run(test())


def test_messages_are_purged_by_sequence_by_subject_and_but_for_the_last(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            streams = connection.streams

            async def left() -> list[int]:
                return [message.seq async for message in streams.read(names.stream)]

            await names.create(connection)
            await fill(connection, [names("a"), names("b")] * 5)
            assert await streams.purge(names.stream, seq=3) == 2
            assert await left() == [3, 4, 5, 6, 7, 8, 9, 10]
            assert await streams.purge(names.stream, subject=names("a")) == 4
            assert await left() == [4, 6, 8, 10]
            assert await streams.purge(names.stream, keep=3) == 1
            await streams.delete_message(names.stream, 8)
            assert await left() == [6, 10]
            with pytest.raises(Refused):
                await streams.delete_message(names.stream, 8)
            assert await streams.purge(names.stream) == 2
            assert await left() == []

    run(test())


def test_reading_goes_on_page_after_page(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            streams = connection.streams
            await names.create(connection)
            await fill(connection, [names(f"x.{number % 3}") for number in range(2_500)], bytes(100))
            assert [message.seq async for message in streams.read(names.stream)] == list(range(1, 2_501))
            assert [message.seq async for message in streams.read(names.stream, start_seq=2_400, max_bytes=1_000)] == list(
                range(2_400, 2_501)
            )
            thirds = [message.seq async for message in streams.read(names.stream, subject=names("x.1"))]
            assert thirds == list(range(2, 2_501, 3))
            assert [message async for message in streams.read(names.stream, start_seq=9_999)] == []
            assert [message async for message in streams.read(names.stream, subject=names("none"))] == []

    run(test())


def test_a_message_larger_than_a_page_is_read(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, [names("a")] * 3, bytes(1_000_000))
            assert [len(message.data) async for message in connection.streams.read(names.stream, max_bytes=1_000)] == [1_000_000] * 3

    run(test())


@pytest.mark.parametrize("subjects", [5, 1_100, 2_100])
def test_the_last_of_each_subject_is_read_however_many_there_are(shared: Server, names: Names, subjects: int) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, [names(f"lease.{number}") for number in range(subjects)])
            await fill(connection, [names("lease.0"), names("other")])
            found = await connection.streams.last_of_each(names.stream, names("lease.*"))
            assert [message.seq for message in found] == [*range(2, subjects + 1), subjects + 1]
            assert found[-1].subject == names("lease.0")
            assert await connection.streams.last_of_each(names.stream, names("none.*")) == []

    run(test())


def test_a_stream_that_does_not_allow_it_is_not_read(shared: Server, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jetfleet.broker.client.streams.PATIENCE_S", 0.1)

    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(NoResponders, match="direct gets"):
                [message async for message in connection.streams.read(names.stream)]

    run(test())


def test_a_question_outlives_a_restart_of_the_server(server: Server) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"]})
            server.kill()
            asked = asyncio.ensure_future(connection.streams.stream_info("S"))
            await asyncio.sleep(0)
            server.start()
            info = await asked
            assert info is not None
            assert info["config"]["name"] == "S"

    run(test())

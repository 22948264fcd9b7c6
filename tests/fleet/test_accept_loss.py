"""What an operator accepts as lost: what outlived it is brought into line, so that a fleet can go on."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from jetfleet.broker import topology
from jetfleet.broker.accept_loss import _move_behind_snapshot, accept_loss, consumers_ahead
from jetfleet.broker.client import Connection, Message
from jetfleet.broker.coordinator.snapshots import Manifest
from jetfleet.broker.deployment import ensure, ensure_flow_consumer
from jetfleet.broker.topology import LEFT, Topology
from jetfleet.schemas import subjects

from .background import BackgroundServer
from .conftest import ServerFactory
from .running import run

TWO = Topology(partitions=2, store_bytes=1 << 30)


@pytest.fixture
def server(server_factory: ServerFactory) -> BackgroundServer:
    return server_factory()


def test_who_takes_from_a_work_queue_begins_anew(server: BackgroundServer) -> None:
    """A consumer that outlived what it had been given would pass over as many new messages."""

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TWO)
            consumer = await ensure_flow_consumer(connection, "orders")
            before = await connection.streams.consumer_info(subjects.SIGNALS, topology.SIGNALS)
            assert await consumers_ahead(connection) == []
            await accept_loss(connection)
            assert await connection.streams.consumer_info(subjects.EVENTS, consumer) is None
            after = await connection.streams.consumer_info(subjects.SIGNALS, topology.SIGNALS)
            assert before is not None and after is not None and after["created"] != before["created"]

    run(test())


def test_a_log_is_moved_behind_the_snapshot_that_knows_more_than_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TWO)
            manifest = Manifest(1, 10, "epoch", [], 0)
            await connection.publisher.publish("snapshot.1.manifest", msgspec.msgpack.encode(manifest))
            await connection.publisher.publish(subjects.progress(1), b"said by who is gone")
            for partition in (0, 1):
                for record in (b"one", b"two"):
                    await connection.publisher.publish(subjects.wal(partition), record)
            for _ in range(2):  # the second time there is nothing to do
                await accept_loss(connection)
                moved = [(each.seq, each.data) async for each in connection.streams.read(subjects.wal_stream(1))]
                assert moved == [(11, b"one"), (12, b"two")]
            stays = [each.seq async for each in connection.streams.read(subjects.wal_stream(0))]
            assert stays == [1, 2]
            assert await connection.streams.last(subjects.PROGRESS, ">") is None
            assert LEFT not in await connection.streams.names()

    run(test())


def test_who_dies_while_a_log_is_moved_loses_nothing_of_it(server: BackgroundServer) -> None:
    """At each question to the server in turn: it is not asked any more, and somebody begins again."""

    class Died(Exception):
        pass

    async def moved(connection: Connection, questions: int) -> bool:
        """Whether it came to its end within so many questions."""
        left = questions
        ask, submit = connection.streams._ask, connection.publisher.publish

        async def counted(what: Any, *args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Died
            return await what(*args, **more)

        connection.streams._ask = partial(counted, ask)  # type: ignore[method-assign]
        connection.publisher.publish = partial(counted, submit)  # type: ignore[method-assign]
        try:
            await _move_behind_snapshot(connection, 1)
        except Died:
            return False
        finally:
            connection.streams._ask, connection.publisher.publish = ask, submit  # type: ignore[method-assign]
        return True

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TWO)
            position, ended, questions = 0, False, 0
            while not ended:
                position += 10
                manifest = Manifest(1, position, "epoch", [], 0)
                await connection.publisher.publish("snapshot.1.manifest", msgspec.msgpack.encode(manifest))
                await connection.streams.purge(subjects.wal_stream(1))
                records = {f"{position}.{number}".encode() for number in range(2)}
                for record in sorted(records):
                    await connection.publisher.publish(subjects.wal(1), record)
                ended = await moved(connection, questions)
                await _move_behind_snapshot(connection, 1)
                behind = {each.data async for each in connection.streams.read(subjects.wal_stream(1), start_seq=position + 1)}
                assert behind == records, f"died at question {questions}"
                assert [each async for each in connection.streams.read(LEFT)] == []
                questions += 1
            assert questions > 8

    run(test())


def test_a_consumer_of_a_stream_that_grows_meanwhile_is_not_ahead_of_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TWO)
            consumer = await ensure_flow_consumer(connection, "orders")
            streams, given = connection.streams, []
            taken: asyncio.Queue[Message] = asyncio.Queue()
            await connection.subscribe("taken", taken.put_nowait)

            async def grown(what: Any, stream: str) -> Any:
                """The server's answer, and then an event that is stored and delivered."""
                answer = await what(stream)
                if stream == subjects.EVENTS:
                    await connection.publisher.publish(subjects.event("orders", "go"), b"{}")
                    await connection.send(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", b'{"batch": 1}', reply="taken")
                    await taken.get()
                    given.append(what.__name__)
                return answer

            streams.stream_info = partial(grown, streams.stream_info)  # type: ignore[method-assign]
            streams.consumers = partial(grown, streams.consumers)  # type: ignore[method-assign]
            assert await consumers_ahead(connection) == []
            assert set(given) == {"stream_info", "consumers"}, "it grew behind both answers"

    run(test())

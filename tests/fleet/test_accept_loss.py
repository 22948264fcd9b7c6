"""What an operator accepts as lost: what outlived it is brought into line, so that a fleet can go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import nats
import pytest

from jetfleet.broker.accept_loss import accept_loss, consumers_ahead
from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.snapshots import Manifest
from jetfleet.broker.deployment import ensure, ensure_flow_consumer
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from .background import BackgroundServer
from .brokers import Broker, broker
from .conftest import ServerFactory
from .running import run

TWO = Topology(partitions=2, store_bytes=1 << 30)


@pytest.fixture
def server(server_factory: ServerFactory) -> BackgroundServer:
    return server_factory()


async def taken(server: Broker, consumer: str) -> bytes:
    """The next message of a consumer of EVENTS, acknowledged."""
    client = await nats.connect(server.url)
    pull = await client.jetstream().pull_subscribe_bind(consumer, subjects.EVENTS)
    (message,) = await pull.fetch(1)
    await message.ack_sync()
    await client.close()
    return message.data


def test_a_consumer_that_has_had_more_than_there_is_is_named_and_goes(tmp_path: Path) -> None:
    """It would pass over as many new messages. nats-server sees to that itself, unless the stream's description was lost with its end."""

    messages = tmp_path / "store" / "jetstream" / "$G" / "streams" / subjects.EVENTS / "msgs"

    async def take(server: Broker, count: int) -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TWO)
            consumer = await ensure_flow_consumer(connection, "orders")
            for number in range(count):
                await connection.publisher.publish(subjects.event("orders", "go"), b"%d" % number)
                assert await taken(server, consumer) == b"%d" % number
            assert await consumers_ahead(connection) == []

    async def find(server: Broker) -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, accept_loss=True)
            assert await consumers_ahead(connection) == [(subjects.EVENTS, "flow-orders")]
            await accept_loss(connection)
            assert await consumers_ahead(connection) == []
            consumer = await ensure_flow_consumer(connection, "orders")
            await connection.publisher.publish(subjects.event("orders", "go"), b"new")
            assert await taken(server, consumer) == b"new"

    with broker(tmp_path) as server:
        run(take(server, 1))
        server.kill()
        shutil.copytree(messages, tmp_path / "before")
        server.start()
        run(take(server, 3))
        server.kill()
        shutil.rmtree(messages)
        shutil.copytree(tmp_path / "before", messages)
        messages.with_name("meta.inf").write_bytes(b"")
        server.start()
        run(find(server))


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

    run(test())

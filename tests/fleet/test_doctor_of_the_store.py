"""A server whose store is full refuses everybody everything, heartbeats too: the doctor has to say that it is this, and not that nobody is there."""

from __future__ import annotations

from pathlib import Path

from jetfleet.broker.api import Client
from jetfleet.broker.cli import checks
from jetfleet.broker.cli.checkup import examine
from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import STORE_BYTES_MIN, Topology

from .conftest import ServerFactory
from .running import run

MIB = 1 << 20
OTHERS_BYTES = 64 * MIB
CHUNK_BYTES = 7 * MIB


async def deployed_client(url: str, connection: Connection) -> Client:
    await ensure(connection, Topology(partitions=1, store_bytes=STORE_BYTES_MIN))
    return await Client.connect(url)


def test_a_store_that_others_have_filled_is_named(server_factory: ServerFactory, tmp_path: Path) -> None:
    server = server_factory(store_bytes=STORE_BYTES_MIN + OTHERS_BYTES)

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection, await deployed_client(server.url, connection) as client:
            assert list(checks.store(await examine(client, tmp_path, server.monitor_url))) == []
            await connection.streams.create_or_update_stream({"name": "OTHERS", "subjects": ["others"], "storage": "file"})
            for _ in range((STORE_BYTES_MIN + OTHERS_BYTES) // CHUNK_BYTES - 1):
                await connection.publisher.publish("others", bytes(CHUNK_BYTES))
            (finding,) = checks.store(await examine(client, tmp_path, server.monitor_url))
            assert finding.grade == "bad" and "of the 320.0 MiB that the server may store are taken" in finding.says

    run(test(), 60)

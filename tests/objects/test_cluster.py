"""The object store on three servers, one of which dies in the middle of things."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.store import ObjectStore
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from ..fleet.clusters import cluster, leader
from ..fleet.running import run
from .around import HeldChunks, got, some_bytes, some_chunks
from .test_janitor import over


def test_a_put_goes_on_when_the_leader_of_the_stream_dies_and_the_janitor_frees_what_it_left(tmp_path: Path) -> None:
    async def test() -> None:
        async with await Connection.open(servers.url, name="test") as connection:
            await ensure(connection, Topology(partitions=1, replicas=3, store_bytes=1 << 30))
            body, held = some_chunks(60), HeldChunks(connection, free=20)
            store = ObjectStore(connection)
            other = await store.put(some_bytes(100), run="other")
            putting = asyncio.create_task(ObjectStore(connection, held).put(body, run="a"))
            await held.held.wait()
            servers.kill(await leader(connection, subjects.OBJECTS))
            held.release.set()
            digest = await putting
            assert await got(store, digest) == body
            janitor = Janitor(connection, grace_s=0)
            await janitor.sweep(over("a"))
            assert (await janitor.sweep(over("a"))).deleted == 1
            assert await got(store, other) == some_bytes(100)
            assert len(await connection.streams.subjects(subjects.OBJECTS, ">")) == 3

    with cluster(tmp_path) as servers:
        run(test(), timeout_s=90)

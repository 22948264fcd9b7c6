"""The topology on a real server: made once, found again, refused where it would lose something."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import (
    Deployed,
    PartitionsFixed,
    StreamGone,
    TopologyTooNew,
    deployed,
    ensure,
    ensure_flow_consumer,
    ensure_memory,
    ensure_queue,
    tasks_epoch,
)
from jetfleet.broker.store_size import StoreTooSmall
from jetfleet.broker.topology import PARTITIONS_DEFAULT, VERSION, Topology, streams, truth_streams
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.errors import UsageError

from .background import BackgroundServer
from .conftest import ServerFactory
from .running import run
from .trouble import restarted

TWO = Topology(partitions=2, store_bytes=1 << 30)


@pytest.fixture
def server(server_factory: ServerFactory) -> BackgroundServer:
    return server_factory()


async def connect(server: BackgroundServer) -> Connection:
    return await Connection.open(server.url, name="test")


def test_a_deployment_has_every_stream_of_the_map(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            found = await ensure(connection, TWO)
            assert (found.version, found.partitions, found.replicas, found.complete) == (VERSION, 2, 1, True)
            assert {stream.name for stream in streams(2)} <= set(await connection.streams.names())
            for stream in streams(2):
                info = await connection.streams.stream_info(stream.name)
                assert info is not None and (info["config"]["max_bytes"] > 0 or stream.name == subjects.TIMERS), stream.name
                assert (
                    not (info["config"]["discard"] == "old" and stream.truth and info["config"]["max_bytes"] > 0)
                    or stream.name == "HISTORY"
                )
                assert info["config"].get("max_age", 0) == 0, stream.name
                assert info["config"]["storage"] == stream.storage

    run(test())


def test_a_second_ensure_changes_nothing(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            first = await ensure(connection, TWO)
            before = [await connection.streams.stream_info(stream.name) for stream in streams(2)]
            epoch = await tasks_epoch(connection)
            assert await ensure(connection) == first
            after = [await connection.streams.stream_info(stream.name) for stream in streams(2)]
            assert [info and (info["config"], info["created"], info["state"]["last_seq"]) for info in before] == [
                info and (info["config"], info["created"], info["state"]["last_seq"]) for info in after
            ]
            assert await tasks_epoch(connection) == epoch

    run(test())


def test_processes_that_start_a_deployment_at_once_agree(server: BackgroundServer) -> None:
    async def test() -> None:
        connections = [await connect(server) for _ in range(4)]
        found = await asyncio.gather(*(ensure(connection, Topology(store_bytes=1 << 30)) for connection in connections))
        assert len({one.created_at for one in found}) == 1
        assert {one.partitions for one in found} == {PARTITIONS_DEFAULT}
        assert await deployed(connections[0]) == found[0]
        for connection in connections:
            await connection.close()

    run(test())


def test_the_number_of_partitions_is_fixed(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            assert await deployed(connection) is None
            await ensure(connection, TWO)
            with pytest.raises(PartitionsFixed, match="has 2") as refused:
                await ensure(connection, Topology(partitions=4))
            assert refused.value.deployed == 2
            assert (await ensure(connection)).partitions == 2
            assert (await ensure(connection, Topology(partitions=2))).partitions == 2

    run(test())


def test_a_newer_topology_is_left_alone(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            newer = Deployed(VERSION + 1, 2, 1, 1 << 30, 0, True)
            await connection.publisher.publish(subjects.TOPOLOGY, messages.encode(newer))
            with pytest.raises(TopologyTooNew, match="upgrade"):
                await ensure(connection)
            with pytest.raises(TopologyTooNew):
                await deployed(connection)

    run(test())


def test_an_older_topology_gets_what_is_new(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            first = await ensure(connection, TWO)
            await connection.streams.delete_stream(subjects.DEAD)
            older = Deployed(VERSION - 1, first.partitions, first.replicas, first.store_bytes, first.created_at, True)
            await connection.publisher.publish(subjects.TOPOLOGY, messages.encode(older))
            assert await ensure(connection) == first
            assert await connection.streams.stream_info(subjects.DEAD) is not None

    run(test())


def test_what_an_operator_tuned_stays_and_what_is_asked_for_is_done(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            info = await connection.streams.stream_info(subjects.EVENTS)
            assert info is not None
            await connection.streams.create_or_update_stream({**info["config"], "max_bytes": 300 << 20})
            await ensure(connection)
            info = await connection.streams.stream_info(subjects.EVENTS)
            assert info is not None and info["config"]["max_bytes"] == 300 << 20
            assert (await ensure(connection, Topology(store_bytes=2 << 30))).store_bytes == 2 << 30
            info = await connection.streams.stream_info(subjects.EVENTS)
            assert info is not None and info["config"]["max_bytes"] == (2 << 30) // 5

    run(test())


def test_a_stream_of_truth_that_is_gone_is_not_made_anew_in_silence(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            await connection.streams.delete_stream("WAL_1")
            with pytest.raises(StreamGone, match=r"WAL_1.*accept-loss"):
                await ensure(connection)
            await ensure(connection, accept_loss=True)
            assert await connection.streams.stream_info("WAL_1") is not None

    run(test())


@pytest.mark.parametrize("lost_too", [(), ("WAL_0",)])
def test_a_deployment_of_which_nobody_says_what_it_is_is_not_taken_for_a_new_one(
    server: BackgroundServer, lost_too: tuple[str, ...]
) -> None:
    """Or its runs would be looked for in other partitions than they are in."""

    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            for stream in ("FLEET", *lost_too):
                await connection.streams.delete_stream(stream)
            with pytest.raises(StreamGone, match=r"WALs of 2 partitions.*FLEET.*accept-loss"):
                await ensure(connection)
            assert (await ensure(connection, accept_loss=True)).partitions == 2
            assert (await ensure(connection)).partitions == 2

    run(test())


def test_the_size_of_a_small_store_is_found_out(server_factory: ServerFactory) -> None:
    async def test() -> None:
        async with await connect(server_factory(store_bytes=3 << 30)) as connection:
            assert 1 << 30 <= (await ensure(connection)).store_bytes <= 3 << 30

    run(test())


def test_what_does_not_fit_into_the_store_is_refused_and_less_can_be_asked_for(server_factory: ServerFactory) -> None:
    async def test() -> None:
        async with await connect(server_factory(store_bytes=3 << 30)) as connection:
            with pytest.raises(StoreTooSmall, match="max-store"):
                await ensure(connection, Topology(partitions=2, store_bytes=64 << 30))
            assert await deployed(connection) is None
            assert (await ensure(connection, TWO)).store_bytes == 1 << 30
            with pytest.raises(StoreTooSmall, match="max-store"):
                await ensure(connection, Topology(store_bytes=64 << 30))
            assert (await ensure(connection)).store_bytes == 1 << 30

    run(test())


def test_a_restart_takes_the_memory_and_ensure_memory_brings_it_back(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            found = await ensure(connection, TWO)
            queue = await ensure_queue(connection, "default")
            epoch = await tasks_epoch(connection)
            assert epoch == await ensure_memory(connection, found, ["default"])
            await restarted(server)
        async with await connect(server) as connection:
            assert await connection.streams.stream_info(subjects.TASKS) is None
            assert await tasks_epoch(connection) is None
            again = await ensure_memory(connection, found, ["default"])
            assert again != epoch
            assert again == await tasks_epoch(connection)
            assert await connection.streams.consumer_info(subjects.TASKS, queue) is not None
            assert await connection.streams.stream_info(subjects.PROGRESS) is not None

    run(test())


def test_events_of_a_flow_reach_its_consumer_and_no_other(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            orders = await ensure_flow_consumer(connection, "orders")
            other = await ensure_flow_consumer(connection, "orders_2")
            for subject in ("events.orders", "events.orders.web", "events.orders.a.b", "events.orders_2", "events.nobody"):
                await connection.publisher.publish(subject, b"")
            pending = []
            for name in (orders, other):
                info = await connection.streams.consumer_info(subjects.EVENTS, name)
                assert info is not None
                pending.append(info["num_pending"])
            assert pending == [3, 1]
            assert await ensure_flow_consumer(connection, "orders") == orders

    run(test())


def test_a_schedule_fires_once_and_leaves_nothing_behind(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await ensure(connection, TWO)
            headers = {"Nats-Schedule-Target": subjects.fired(1)}
            soon, late = datetime.now(UTC), datetime.now(UTC) + timedelta(days=400)
            for name, at in (("soon", soon), ("late", late)):
                schedule = {"Nats-Schedule": f"@at {at.isoformat(timespec='seconds').replace('+00:00', 'Z')}"}
                await connection.publisher.publish(subjects.timer(1, name), name.encode(), headers=headers | schedule)
            fired = None
            while fired is None:
                fired = await connection.streams.last(subjects.TIMERS, subjects.fired(1))
                await asyncio.sleep(0.01)
            assert fired.data == b"soon"
            assert await connection.streams.last(subjects.TIMERS, subjects.timer(1, "soon")) is None
            assert await connection.streams.last(subjects.TIMERS, subjects.timer(1, "late")) is not None

    run(test())


def test_topologies_that_make_no_sense_are_refused() -> None:
    for wrong in ({"partitions": 0}, {"partitions": 100_000}, {"replicas": 2}, {"store_bytes": 1}):
        with pytest.raises(UsageError):
            Topology(**wrong)


def test_truth_is_what_cannot_be_derived() -> None:
    assert set(truth_streams(2)) == {"EVENTS", "WAL_0", "WAL_1", "HISTORY", "TIMERS", "SNAPSHOTS", "SIGNALS", "OBJECTS", "FLOWS"}

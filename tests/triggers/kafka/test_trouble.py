"""Whatever stalls, goes down or is shared anew in the middle: every record is one run, and no offset is committed before its event is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance

from jetfleet.broker.api import Client
from jetfleet.schemas.records import Completion
from jetfleet.triggers import Triggers
from jetfleet.triggers.kafka import group

from ...fleet.conftest import ServerFactory
from ...fleet.fleets import NODES, Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import frozen, until
from . import mock_cluster
from .conftest import REAL
from .mock_cluster import MockKafka
from .topics import Cluster, Topic


@pytest.fixture
def patient_leader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The mock cluster refuses a member that asks for its share after the leader has told the shares; a real broker answers it."""
    on_join_leader = CoordinatorGroupRebalance._on_join_leader

    async def later(self: Any, response: Any) -> Any:
        await asyncio.sleep(0.2)
        return await on_join_leader(self, response)

    monkeypatch.setattr(CoordinatorGroupRebalance, "_on_join_leader", later)
    yield


def values(count: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(count)]


async def one_run_each(one: Fleet, runs: list[str], deadline_s: float = 30) -> None:
    """Each has begun and ended, its node was executed once, and there are no others."""
    await one.log.ended(*runs, deadline_s=deadline_s)
    await one.quiet()
    assert one.log.begun == set(runs)
    assert all(len(one.log.of(run, Completion)) == 1 for run in runs)


async def all_committed(topic: Topic, total: int) -> None:
    async with asyncio.timeout(15):
        while sum(await topic.committed()) != total:
            await asyncio.sleep(0.05)


def test_no_offset_is_committed_while_events_are_not_on_disk(kafka: Cluster, server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        topic = Topic(kafka, 1)
        async with fleet(server.url, tmp_path) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            await triggers.source("orders", "in")
            sent = await topic.send(values(10))
            await one.log.until(lambda: set(sent) <= one.log.begun, "the first runs")
            await all_committed(topic, 10)
            with frozen(server):
                sent += await topic.send(values(10))
                await until(lambda: triggers.status()[0].in_flight == 10, "events that are not acknowledged")
                late = await topic.send(values(1))
                await until(lambda: triggers.status()[0].in_flight == 11, "one more")  # several commits were due meanwhile
                assert await topic.committed() == [10]
            await one_run_each(one, sent + late)
            await all_committed(topic, 21)

    run(test(), 60)


def test_members_that_come_and_go_share_the_partitions_and_every_record_is_one_run(
    kafka: Cluster, fresh_url: str, tmp_path: Path, patient_leader: None
) -> None:
    async def test() -> None:
        topic = Topic(kafka)
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(max_in_flight=20), nodes=[NODES])
            async with Triggers(one.client, types=("kafka",), data=tmp_path) as first:
                member = await first.source("orders", "in")
                sent = await topic.send(values(500))
                async with await Client.connect(fresh_url) as client, Triggers(client, types=("kafka",), data=tmp_path) as second:
                    other = await second.source("orders", "in")
                    await until(lambda: shares(member, other) == [2, 2], "half of the partitions each")
                    sent += await topic.send(values(500))
                    await one.log.until(lambda: set(sent) <= one.log.begun, "the runs of both")
                    assert second.status()[0].fired and first.status()[0].fired
                    sent += await topic.send(values(500))
                await until(lambda: shares(member) == [4], "all partitions for the one that is left")
                sent += await topic.send(values(500))
                await one_run_each(one, sent)
                await all_committed(topic, 2_000)

    run(test(), 90)


def shares(*members: Any) -> list[int]:
    return [0 if member._group is None else len(member._group.partitions) for member in members]


def test_brokers_that_go_down_and_come_back_cost_nothing(
    kafka: Cluster, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "SILENT_S", 1.0)

    async def test() -> None:
        topic = Topic(kafka)
        async with fleet(fresh_url, tmp_path) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            await triggers.source("orders", "in")
            sent = await topic.send(values(100))
            await one.log.until(lambda: set(sent) <= one.log.begun, "the first runs")
            await asyncio.to_thread(kafka.down)
            await until(lambda: triggers.status()[0].state == "failing", "a source that says so")
            assert "SOURCE_FAILED" in triggers.status()[0].error and kafka.brokers.partition(",")[0] in triggers.status()[0].error
            await asyncio.to_thread(kafka.up)
            sent += await topic.send(values(100))
            await one_run_each(one, sent)
            assert triggers.status()[0].state == "listening" and not triggers.status()[0].error
            await all_committed(topic, 200)

    run(test(), 90)


@pytest.mark.parametrize("_", [REAL])
def test_a_topic_that_does_not_exist_is_named(
    request: pytest.FixtureRequest, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: str
) -> None:
    monkeypatch.setattr(group, "SILENT_S", 1.0)

    async def test() -> None:
        flow = Topic(request.getfixturevalue("real_kafka")).flow(topic="ordres")
        async with fleet(fresh_url, tmp_path, workers=0) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            await one.client.deploy(flow, nodes=[NODES])
            await until(lambda: any("there is no topic ordres" in each.error for each in triggers.status()), "a source that says so")

    run(test(), 60)


def test_requests_that_fail_are_made_again(mock_kafka: MockKafka, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        topic = Topic(mock_kafka)
        async with fleet(fresh_url, tmp_path) as one, Triggers(one.client, types=("kafka",), data=tmp_path) as triggers:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            await triggers.source("orders", "in")
            sent = await topic.send(values(100))
            await one.log.until(lambda: set(sent) <= one.log.begun, "the first runs")
            mock_kafka.fail(mock_cluster.FETCH, [mock_cluster.NOT_LEADER, mock_cluster.REQUEST_TIMED_OUT])
            mock_kafka.fail(mock_cluster.OFFSET_COMMIT, [mock_cluster.NOT_COORDINATOR, mock_cluster.COORDINATOR_NOT_AVAILABLE])
            mock_kafka.fail(mock_cluster.HEARTBEAT, [mock_cluster.UNKNOWN_MEMBER])  # it is thrown out, and joins again
            mock_kafka.lead(topic.name, 0, 2)
            mock_kafka.lead(topic.name, 1, 1)
            mock_kafka.rtt(20)
            sent += await topic.send(values(100))
            await one_run_each(one, sent)
            await all_committed(topic, 200)
            assert triggers.status()[0].restarts == 0

    run(test(), 60)

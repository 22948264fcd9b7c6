"""Records become runs: each one once, with all that it says, and what cannot be read is put aside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from jetfleet.schemas import subjects
from jetfleet.triggers import Triggers

from ...fleet.fleets import NODES, Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .conftest import REAL
from .topics import Cluster, Topic, started

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def kafka_triggers(one: Fleet, folder: Path) -> Triggers:
    return Triggers(one.client, types=("kafka",), data=folder)


async def all_begun(one: Fleet, runs: set[str], deadline_s: float = 20) -> None:
    await one.log.until(lambda: runs <= one.log.begun, f"{len(runs)} runs", deadline_s)


async def all_committed(topic: Topic, expected: list[int]) -> None:
    found = await topic.committed()
    for _ in range(200):
        if found == expected:
            return
        found = await topic.committed()
    raise AssertionError(f"committed is {found}, expected {expected}")


def test_each_record_is_one_run_and_its_offset_is_committed_then(kafka: Cluster, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        topic = Topic(kafka)
        sent = [await topic.send([b'{"n": %d}' % number for number in range(500)], partition=partition) for partition in range(4)]
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            async with kafka_triggers(one, tmp_path) as triggers:
                expected = {id for each in sent for id in each}
                await all_begun(one, expected)
                await all_committed(topic, [500] * 4)
                (view,) = triggers.status()
                assert view.state == "listening" and view.fired == 2_000 and topic.name in view.detail
            async with kafka_triggers(one, tmp_path):  # goes on behind what was committed
                late = await topic.send([b'{"n": 500}'], partition=1)
                await all_begun(one, set(late))
            await one.quiet()
            assert one.log.begun == expected | set(late)
            assert started(one.log, sent[2][7])[0] == {"n": 7}

    run(test(), 60)


def test_key_headers_trace_and_place_of_a_record_reach_the_run(kafka: Cluster, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        topic = Topic(kafka)
        headers = [("region", b"eu"), ("tag", b"a"), ("tag", b"b"), ("blob", b"\xff\x00"), ("traceparent", TRACE)]
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            async with kafka_triggers(one, tmp_path):
                (full,) = await topic.send([b'{"id": 7}'], partition=1, key="schlüssel".encode(), headers=headers)
                (tombstone,) = await topic.send([None], partition=2, key=b"\xfe\xff")
                await all_begun(one, {full, tombstone})
                payload, meta = started(one.log, full)
                assert payload == {"id": 7}
                assert meta["headers"] == {"region": "eu", "tag": ["a", "b"], "blob": b"\xff\x00", "traceparent": TRACE.decode()}
                assert (meta["topic"], meta["partition"], meta["offset"], meta["key"]) == (topic.name, 1, 0, "schlüssel")
                assert meta["timestamp"] > 1_700_000_000_000
                assert one.log.records[full][0].trace == TRACE.decode()
                payload, meta = started(one.log, tombstone)
                assert payload is None and meta["key"] == b"\xfe\xff" and meta["headers"] == {}

    run(test(), 60)


def test_a_record_that_cannot_be_read_is_put_aside_for_every_flow_and_the_next_ones_go_on(
    kafka: Cluster, fresh_url: str, tmp_path: Path
) -> None:
    async def test() -> None:
        topic = Topic(kafka, 1)
        async with fleet(fresh_url, tmp_path) as one:
            for name in ("orders", "audit"):
                await one.client.deploy(topic.flow(name, format="json"), nodes=[NODES])
            async with kafka_triggers(one, tmp_path) as triggers:
                await topic.send([b'{"n": 1}', b'{"n": ', b'{"n": 3}'])
                good = {topic.run_id(0, offset, flow) for flow in ("orders", "audit") for offset in (0, 2)}
                await all_begun(one, good)
                await one.log.until(lambda: len(one.log.letters) == 2, "two dead letters")
                assert {letter.subject for letter in one.log.letters} == {subjects.event(flow, "in") for flow in ("orders", "audit")}
                for letter in one.log.letters:
                    assert letter.code == "UNREADABLE_RECORD" and f"{topic.name}/0/1" in letter.reason
                await all_committed(topic, [3])
                assert [each.refused for each in triggers.status()] == [1, 1]
                assert one.log.begun == good
                (letter,) = [each for each in await one.client.dead_letters() if each.letter.subject == subjects.event("orders", "in")]
                await one.client.redrive(letter.seq)
                again = topic.run_id(0, 1)
                await all_begun(one, {again})
                payload, meta = started(one.log, again)
                assert payload == b'{"n": ' and (meta["partition"], meta["offset"]) == (0, 1)

    run(test(), 60)


def test_topics_that_match_a_pattern_are_read_those_made_later_too(kafka: Cluster, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        first = Topic(kafka, 1)
        async with fleet(fresh_url, tmp_path) as one:
            pattern = r"orders\d+-\d+"
            await one.client.deploy(first.flow(pattern=pattern, metadata_max_age_ms=200), nodes=[NODES])
            async with kafka_triggers(one, tmp_path):
                await all_begun(one, set(await first.send([b"1"])))
                later = Topic(kafka, 1)
                await all_begun(one, set(await later.send([b"2"])))

    run(test(), 60)


def test_a_group_that_begins_at_the_latest_record_misses_nothing_from_then_on(kafka: Cluster, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        topic = Topic(kafka, 1)
        await topic.send([b"1", b"2"])
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(auto_offset_reset="latest"), nodes=[NODES])
            async with kafka_triggers(one, tmp_path):
                await all_committed(topic, [2])
            missed = await topic.send([b"3"])  # while nobody listens
            async with kafka_triggers(one, tmp_path):
                await all_begun(one, set(missed))
                assert one.log.begun == set(missed)

    run(test(), 60)


@pytest.mark.parametrize("_", [REAL])
def test_records_of_a_transaction_that_was_aborted_are_no_runs_and_its_marks_no_backlog(
    request: pytest.FixtureRequest, fresh_url: str, tmp_path: Path, _: str
) -> None:
    async def test() -> None:
        topic = Topic(request.getfixturevalue("real_kafka"), 1)
        async with fleet(fresh_url, tmp_path) as one, kafka_triggers(one, tmp_path):
            await one.client.deploy(topic.flow(), nodes=[NODES])
            producer = AIOKafkaProducer(bootstrap_servers=topic.cluster.brokers, transactional_id=topic.name)
            try:
                await producer.start()
                for value, commits in ((b"1", True), (b"2", False), (b"3", True)):
                    await producer.begin_transaction()
                    await producer.send_and_wait(topic.name, value)
                    await (producer.commit_transaction() if commits else producer.abort_transaction())
            finally:
                await producer.stop()
            runs = {topic.run_id(0, 0), topic.run_id(0, 4)}  # each transaction ends with a mark, which has an offset
            await all_begun(one, runs)
            await all_committed(topic, [6])
            assert one.log.begun == runs

    run(test(), 60)


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_compressed_batches_are_read(kafka: Cluster, fresh_url: str, tmp_path: Path, codec: str) -> None:
    async def test() -> None:
        topic = Topic(kafka, 1)
        sent = await topic.send([b"x" * 1_000] * 10, compression_type=codec)
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            async with kafka_triggers(one, tmp_path):
                await all_begun(one, set(sent))

    run(test(), 60)


def test_a_trigger_that_is_paused_takes_nothing_and_keeps_its_partitions(kafka: Cluster, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        topic = Topic(kafka, 2)
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(topic.flow(), nodes=[NODES])
            async with kafka_triggers(one, tmp_path) as triggers:
                source = await triggers.source("orders", "in")
                await all_begun(one, set(await topic.send([b"1"], partition=0)))
                await one.client.pause_trigger("orders", "in")
                await until(lambda: triggers.status()[0].state == "paused", "a pause")
                await until(lambda: source._group._held, "partitions that are held")
                rebalances = source._group.rebalances
                waiting = await topic.send([b"2", b"3"], partition=1)
                deadline = asyncio.get_running_loop().time() + 1.3  # more than a session
                await until(lambda: asyncio.get_running_loop().time() > deadline, "more than a session")
                assert not one.log.begun & set(waiting)
                assert source._group.rebalances == rebalances and len(source._group.partitions) == 2
                await one.client.resume_trigger("orders", "in")
                await all_begun(one, set(waiting))
                assert source._group.rebalances == rebalances

    run(test(), 60)

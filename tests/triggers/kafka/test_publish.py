"""std::kafka_publish: what is written, what it gives, and which errors are worth another attempt."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, codec
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from jetfleet.broker.kafka import INSTALL, kind_of, library
from jetfleet.schemas.errors import Permanent, UsageError
from jetfleet.workers import Registry, node
from jetfleet.workers.kafka_client import KafkaCluster, KafkaProducers
from jetfleet.workers.providers import Services

from ...fleet.running import run
from ...nodes.bench import Bench
from .conftest import REAL
from .mock_cluster import MESSAGE_TOO_LARGE, OUT_OF_ORDER, PRODUCE, TOPIC_AUTHORIZATION_FAILED, MockKafka
from .real_broker import RealKafka
from .topics import Cluster, Topic

NODE = "std::kafka_publish"


def config(topic: Topic, **keys: Any) -> dict[str, Any]:
    return {"brokers": topic.cluster.brokers, "topic": topic.name, **keys}


def written(topic: Topic, count: int = 1) -> list[ConsumerRecord[bytes, bytes]]:
    """The first records of the topic, by offset."""

    async def read() -> list[ConsumerRecord[bytes, bytes]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=topic.cluster.brokers, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic.name, number) for number in range(topic.partitions)])
        try:
            await consumer.start()
            return [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()

    return run(read())


def test_the_input_is_written_as_json_and_the_node_says_where_it_is(kafka: Cluster) -> None:
    topic = Topic(kafka)
    output = Bench().output(
        NODE, {"id": 7}, config(topic, key="k-${pipeline.config.limit}", headers={"n": 1, "tag": ["a", "b"], "no": None})
    )
    (record,) = written(topic)
    assert record.value == b'{"id":7}' and record.key == b"k-100"
    assert record.headers == (("n", b"1"), ("tag", b"a"), ("tag", b"b"), ("idempotency-key", b"run-1/subject"))
    assert output["topic"] == topic.name and (output["partition"], output["offset"]) == (record.partition, 0)
    assert output.keys() == {"topic", "partition", "offset", "timestamp"}


@pytest.mark.parametrize(
    ("value", "bytes_"), [("plain ä", "plain ä".encode()), (b"\xff\x00", b"\xff\x00"), ([1, None], b"[1,null]"), (5, b"5")]
)
def test_texts_and_bytes_are_written_as_they_are(mock_kafka: MockKafka, value: Any, bytes_: bytes) -> None:
    topic = Topic(mock_kafka, 3)
    output = Bench().output(NODE, value, config(topic, partition=2))
    (record,) = written(topic)
    assert output["partition"] == record.partition == 2 and record.value == bytes_


def test_a_tombstone_is_written_where_it_is_asked_for(kafka: Cluster) -> None:
    topic = Topic(kafka, 1)
    bench = Bench()
    assert bench.error(NODE, None, config(topic, key="a")).type == "kafka_value"
    bench.output(NODE, {"id": 7}, config(topic, key="a", tombstone=True))
    (record,) = written(topic)
    assert record.value is None and record.key == b"a"


def test_one_producer_serves_all_records_of_a_cluster(kafka: Cluster) -> None:
    async def test() -> None:
        topic = Topic(kafka)
        client = KafkaProducers()
        cluster = KafkaCluster(tuple(kafka.brokers.split(",")), compression="lz4")
        try:
            found = await asyncio.gather(*(client.send(cluster, topic.name, b"%d" % number, partition=number % 4) for number in range(400)))
            assert len(client._producers) == 1
        finally:
            await client.close()
        assert {(each.partition, each.offset) for each in found} == {(partition, offset) for partition in range(4) for offset in range(100)}

    run(test())


def test_what_the_broker_refuses_for_good_is_not_tried_again(mock_kafka: MockKafka) -> None:
    topic = Topic(mock_kafka, 1)
    bench = Bench()
    mock_kafka.fail(PRODUCE, [MESSAGE_TOO_LARGE])
    too_large = bench.error(NODE, "x", config(topic))
    assert (too_large.type, too_large.retryable) == ("kafka_too_large", False) and topic.name in too_large.message
    mock_kafka.fail(PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
    refused = bench.error(NODE, "x", config(topic))
    assert (refused.type, refused.retryable) == ("kafka_refused", False)
    nowhere = bench.error(NODE, "x", config(topic, partition=9))
    assert (nowhere.type, nowhere.retryable) == ("kafka_partition", False)


def test_what_no_broker_could_take_is_told_without_asking_one() -> None:
    for wrong, type in (
        ({"topic": "no topic"}, "kafka_refused"),
        ({"topic": ".."}, "kafka_refused"),
        ({"brokers": "127.0.0.1:kafka"}, "kafka_unusable"),
    ):
        error = Bench().error(NODE, "x", {"brokers": "127.0.0.1:1", "topic": "t", **wrong})
        assert (error.type, error.retryable) == (type, False)
    with pytest.raises(Permanent, match="a tombstone deletes its key"):
        run(KafkaProducers().send(KafkaCluster(("127.0.0.1:1",)), "t", None))


def test_a_producer_that_has_lost_its_place_is_replaced_by_one_that_writes(mock_kafka: MockKafka) -> None:
    topic, bench = Topic(mock_kafka, 1), Bench()
    mock_kafka.fail(PRODUCE, [OUT_OF_ORDER])
    assert bench.output(NODE, "x", config(topic))["offset"] == 0


@pytest.mark.parametrize("_", [REAL])
def test_a_record_that_is_refused_spoils_none_that_comes_after_it(request: pytest.FixtureRequest, _: str) -> None:
    async def test() -> None:
        broker: RealKafka = request.getfixturevalue("real_kafka")
        topic, client = Topic(broker, 1), KafkaProducers()
        cluster = KafkaCluster((broker.brokers,))
        try:
            await client.send(cluster, topic.name, b"first")
            with pytest.raises(Permanent) as refused:
                await client.send(cluster, topic.name, b"x" * 2_000_000)
            assert refused.value.type == "kafka_too_large" and "the client says" not in str(refused.value)
            found = await asyncio.gather(*(client.send(cluster, topic.name, b"next") for _ in range(20)))
        finally:
            await client.close()
        assert sorted(each.offset for each in found) == list(range(1, 21))

    run(test())


@pytest.mark.parametrize("_", [REAL])
def test_a_wrong_password_is_not_tried_again(request: pytest.FixtureRequest, _: str) -> None:
    broker: RealKafka = request.getfixturevalue("real_kafka")
    security = {"protocol": "sasl_plaintext", "username": "shop", "secret": "kafka_shop"}
    services = Services(environ={"JETFLEET_SECRET_KAFKA_SHOP": "a wrong one"})
    error = Bench(services=services).error(NODE, "x", {"brokers": broker.guarded, "topic": "t", "security": security})
    assert (error.type, error.retryable) == ("kafka_refused", False) and "Authentication failed" in error.message


def test_what_keeps_another_client_from_its_brokers_is_not_taken_for_the_reason_here() -> None:
    began_s, error = time.monotonic(), KafkaConnectionError("Unable to bootstrap")
    library()
    logging.getLogger("aiokafka").error('Unable connect to "%s:%s": %s', "guarded", 9092, SaslAuthenticationFailed("no"))
    assert kind_of(error, ["gone:9092"], began_s) is KafkaConnectionError
    assert kind_of(error, ["gone:9092", "guarded"], began_s) is SaslAuthenticationFailed
    assert kind_of(error, ["guarded"], time.monotonic() + 1) is KafkaConnectionError


def test_a_broker_that_is_not_there_or_does_not_answer_is_worth_another_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        late = Bench().error(NODE, "x", {"brokers": address, "topic": "t", "timeout_ms": 200})
        assert (late.type, late.retryable) == ("kafka_timeout", True) and address in late.message
    gone = Bench().error(NODE, "x", {"brokers": address, "topic": "t"})
    assert (gone.type, gone.retryable) == ("kafka_connection", True) and address in gone.message


def test_a_library_that_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for compression, missing in (
        ("zstd", partial(monkeypatch.setattr, codec, "cramjam")),
        (None, partial(monkeypatch.setitem, sys.modules, "aiokafka")),
    ):
        missing(None)
        error = Bench().error(NODE, "x", {"brokers": "127.0.0.1:1", "topic": "t", "compression": compression})
        assert (error.type, error.retryable) == ("kafka_unusable", False) and INSTALL in error.message


def test_a_secret_that_is_not_set_is_named() -> None:
    security = {"protocol": "sasl_plaintext", "username": "shop", "secret": "kafka_password"}
    error = Bench(services=Services(environ={})).error(NODE, "x", {"brokers": "127.0.0.1:1", "topic": "t", "security": security})
    assert (error.type, error.retryable) == ("missing_secret", False)
    assert "JETFLEET_SECRET_KAFKA_PASSWORD" in error.message


def test_a_node_of_ones_own_cannot_have_the_other_name_of_this_one() -> None:
    with pytest.raises(UsageError, match="std::kafka_publish"):
        node("kafka.publish", registry=Registry())(lambda value: value)

"""Topics as tests use them: made new for each test, filled, and asked how far a group has come."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ...fleet.fleet_log import Log

_numbers = itertools.count(1)


class Cluster(Protocol):
    """The mock cluster, or a real broker."""

    brokers: str

    def create_topic(self, name: str, partitions: int) -> None: ...

    def down(self) -> None: ...

    def up(self) -> None: ...


class Topic:
    """One topic, and the flow `orders` whose trigger `in` consumes it as group `<topic>`."""

    def __init__(self, cluster: Cluster, partitions: int = 4) -> None:
        self.cluster, self.partitions = cluster, partitions
        self.name = f"orders{next(_numbers)}-{os.getpid()}"
        cluster.create_topic(self.name, partitions)

    def flow(self, name: str = "orders", **params: Any) -> dict[str, Any]:
        """A short session, so that a member that was killed is soon missed."""
        given = {"brokers": self.cluster.brokers, "group_id": self.name, "session_timeout_ms": 1_000, "commit_interval_ms": 50}
        which = {} if "pattern" in params else {"topic": self.name}
        trigger = {"id": "in", "type": "kafka", "params": given | which | params}
        return {
            "name": name, "triggers": [trigger], "nodes": {"seen": {"type": "f.echo"}}, "edges": [{"from": "in", "to": "seen"}],
        }  # fmt: skip

    def run_id(self, partition: int, offset: int, flow: str = "orders") -> str:
        return subjects.run_id(flow, f"in/{self.name}/{partition}/{offset}")

    async def send(
        self,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        headers: Sequence[Any] = (),
        **options: Any,
    ) -> list[str]:
        """The runs that they are going to be. `options`: of the producer."""
        producer = AIOKafkaProducer(bootstrap_servers=self.cluster.brokers, **options)
        try:
            await producer.start()
            sent = [await producer.send(self.name, value, key=key, partition=partition, headers=list(headers)) for value in values]
            acks = [await each for each in sent]
        finally:
            await producer.stop()
        return [self.run_id(ack.partition, ack.offset) for ack in acks]

    async def committed(self) -> list[int]:
        """By partition; 0 where nothing is committed."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.cluster.brokers, group_id=self.name, enable_auto_commit=False)
        keys = [TopicPartition(self.name, number) for number in range(self.partitions)]
        consumer.assign(keys)
        try:
            await consumer.start()
            return [await consumer.committed(key) or 0 for key in keys]
        finally:
            await consumer.stop()


def started(log: Log, run: str) -> tuple[Any, Mapping[str, Any]]:
    """Payload and meta with which a run was started, and that it was started once."""
    (record,) = log.of(run, RunStarted)
    return decode(record.payload), decode(record.meta)

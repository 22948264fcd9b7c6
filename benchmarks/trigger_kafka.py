"""The kafka trigger: a topic that has grown while the trigger was paused, and records that come one by one.

The brokers are librdkafka's mock cluster in a process of its own, in memory. It answers a consumer that waits for records only when the
consumer's time is up, so that is short here; a real broker answers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from .processes import ROOT, BenchmarkFailed
from .trigger_stage import FLOW, TRIGGER, VALUE_BYTES, Adapter, Stage

WAIT_MS = 5
TOPIC, PARTITIONS = "orders", 8
MOCK = "tests/triggers/kafka/mock_cluster.py"
VALUE = json.dumps({"note": "x" * VALUE_BYTES}).encode()
LIBRARIES = {"aiokafka": "aiokafka", "confluent_kafka": "confluent-kafka"}
"""What it takes, by module: the client, and the wheel that has the mock cluster in it."""


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package for module, package in LIBRARIES.items() if importlib.util.find_spec(module) is None]


class Kafka(Adapter):
    window = 2_000
    """As `max_in_flight` lets it."""

    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        self._stage, self._sent = stage, 0
        brokers = await stack.enter_async_context(_cluster())
        self._producer = await stack.enter_async_context(_producer(brokers))
        stage.serve("kafka")
        params = {"brokers": brokers, "group_id": "benchmark", "topic": TOPIC, "format": "json", "fetch_max_wait_ms": WAIT_MS}
        async with stage.arrivals() as arrivals:
            await stage.deploy("kafka", params)
            await self.one()
            await arrivals.on_disk(1)

    async def prepare(self, count: int) -> None:
        await self._stage.fleet.client.pause_trigger(FLOW, TRIGGER)
        await self._stage.says("paused")
        for number in range(count):
            await self._producer.send(TOPIC, VALUE, partition=number % PARTITIONS)
        await self._producer.flush()

    async def crowd(self, count: int) -> None:
        async with self._stage.arrivals() as arrivals:
            await self._stage.fleet.client.resume_trigger(FLOW, TRIGGER)
            await arrivals.on_disk(count)

    async def one(self) -> float:
        self._sent += 1
        began = time.perf_counter()
        await self._producer.send_and_wait(TOPIC, VALUE, partition=self._sent % PARTITIONS)
        return began


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[str]:
    command = (sys.executable, str(ROOT / MOCK), TOPIC, str(PARTITIONS))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None and process.stdout is not None
    try:
        brokers = (await process.stdout.readline()).decode().strip()
        if not brokers:
            raise BenchmarkFailed("the mock cluster does not start: pip install 'jetfleet[dev]'")
        yield brokers
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def _producer(brokers: str) -> AsyncIterator[Any]:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=256 * 1024)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()

"""The kafka trigger: records of a topic as events on disk, and how long one takes at low load.

    python -m benchmarks.trigger_kafka [SCALE] [--profile]

The brokers are librdkafka's mock cluster in a process of its own, in memory: what is measured is the way from their answer to the
acknowledgement of the event, with the server's fsync in it. No coordinator takes events meanwhile. The mock answers a consumer that waits
for records only when its time is up, so that is short here; a real broker answers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import json
import pstats
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import Topology
from jetfleet.triggers import Source, Triggers

from .fleet import Fleet
from .processes import ROOT, BenchmarkFailed

RECORDS, PACED, PACE_S = 60_000, 1_000, 0.005
WAIT_MS = 5
TOPIC, PARTITIONS, VALUE_BYTES = "orders", 8, 200
MOCK = "tests/triggers/kafka/mock_cluster.py"


async def measure_kafka(scale: float = 1.0, profile: cProfile.Profile | None = None) -> dict[str, float]:
    """`{"events_per_s", "p50_ms", "p99_ms"}`: of a topic that is full, and of records that come one by one. Raises BenchmarkFailed."""
    from aiokafka import AIOKafkaProducer

    async with Fleet(coordinators=0, workers=0) as fleet, _cluster() as brokers:
        async with await Connection.open(fleet.url, name="benchmark") as connection:
            await ensure(connection, Topology(store_bytes=4 << 30))
        producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=256 * 1024, linger_ms=5)
        await producer.start()
        try:
            records = int(RECORDS * scale)
            await _fill(producer, records)
            await fleet.client.deploy(_flow(brokers))
            async with Triggers(fleet.client, types=("kafka",), data=fleet.folder) as triggers:
                per_s = await fleet.watch_over(_throughput(triggers, records, profile), 120)
                latencies_ms = await fleet.watch_over(_latencies(triggers, producer, int(PACED * scale)), 120)
        finally:
            await producer.stop()
    return {"events_per_s": round(per_s), "p50_ms": _at(latencies_ms, 0.5), "p99_ms": _at(latencies_ms, 0.99)}


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / MOCK),
        TOPIC,
        str(PARTITIONS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        brokers = (await process.stdout.readline()).decode().strip()
        if not brokers:
            raise BenchmarkFailed("the mock cluster does not start: pip install 'jetfleet[dev]'")
        yield brokers
    finally:
        process.stdin.close()
        await process.wait()


def _flow(brokers: str) -> dict[str, Any]:
    params = {"brokers": brokers, "group_id": "benchmark", "topic": TOPIC, "format": "json", "max_in_flight": 10000, "max_poll_records": 2500, "fetch_max_wait_ms": WAIT_MS}
    return {
        "name": "measured",
        "triggers": [{"id": "in", "type": "kafka", "params": params}],
        "nodes": {"seen": {"type": "std::log"}},
        "edges": [{"from": "in", "to": "seen"}],
    }


async def _fill(producer: Any, records: int) -> None:
    value = json.dumps({"note": "x" * (VALUE_BYTES - 12)}).encode()
    last = None
    for number in range(records):
        last = await producer.send(TOPIC, value, partition=number % PARTITIONS)
    await producer.flush()
    if last is not None:
        await last


async def _throughput(triggers: Triggers, records: int, profile: cProfile.Profile | None) -> float:
    """From the first firing to the last acknowledgement."""
    done, began = asyncio.Event(), [0.0]

    def confirmed(count: int) -> None:
        began[0] = began[0] or time.perf_counter()
        if count == records:
            done.set()

    source = await triggers.source("measured", "in")
    _counting(source, confirmed)
    if profile is not None:
        profile.enable()
    await done.wait()
    seconds = time.perf_counter() - began[0]
    if profile is not None:
        profile.disable()
    return records / seconds


async def _latencies(triggers: Triggers, producer: Any, records: int) -> list[float]:
    """In ms, ascending: from the broker's answer to the producer until the event is on disk."""
    source, latencies_ms = await triggers.source("measured", "in"), []
    for number in range(records):
        stored = asyncio.Event()
        _counting(source, lambda _, stored=stored: stored.set())  # type: ignore[misc]
        sent = time.perf_counter()
        await producer.send_and_wait(TOPIC, b'{"n": 1}', partition=number % PARTITIONS)
        await stored.wait()
        latencies_ms.append((time.perf_counter() - sent) * 1e3)
        await asyncio.sleep(PACE_S)
    return sorted(latencies_ms)


def _counting(source: Source, told: Any) -> None:
    """Tell how many of its firings are confirmed from now on."""
    confirm, count = type(source).confirm, [0]

    def counted(firing: Any, fate: Any) -> None:
        confirm(source, firing, fate)
        count[0] += 1
        told(count[0])

    source.confirm = counted  # type: ignore[method-assign]


def _at(ascending: list[float], share: float) -> float:
    return round(ascending[min(int(len(ascending) * share), len(ascending) - 1)], 2)


def main(scale: float, profiled: bool) -> None:
    profile = cProfile.Profile() if profiled else None
    print(json.dumps(asyncio.run(measure_kafka(scale, profile))))
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main(float(next((word for word in sys.argv[1:] if not word.startswith("-")), 1.0)), "--profile" in sys.argv)

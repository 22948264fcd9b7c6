"""The ceiling: the ways of a fleet's messages with no engine in it.

    event ─▶ EVENTS ─▶ coordinator ─▶ TASKS (memory) ─▶ worker ─▶ WAL ─▶ coordinator ─▶ …

Every hop is a JetStream publish, entries are group-committed, the server writes to disk before it acknowledges, coordinator and worker are
processes of their own: as in the fleet, but nothing is compiled, checked, remembered or recovered. What a fleet reaches is quoted
together with what this reaches in the same minutes on the same machine.

`python -m benchmarks bare` measures it. `python -m benchmarks.bare --role …` is one of its processes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from .hops import CONSUMER, GroupCommit, Pull, unpack
from .load import Load, drive
from .loops import run_in_loop
from .processes import Processes, free_port, listening, program
from .shapes import SHAPES, Progress, event_of, nodes_of

COMPLETIONS_MAX, EVENTS_IN_FLIGHT_MAX = 256, 64
READY_S, LOAD_S = 30, 120


async def coordinator(url: str, shape: str, size: int) -> None:
    connection = await nats.connect(url)
    tasks = GroupCommit(connection.jetstream(), "tasks.default")
    runs: dict[str, Progress] = {}

    def on_event(message: Msg) -> Sequence[Awaitable[None]]:
        stored = []
        for run, value in unpack(message.data):
            runs[run] = SHAPES[shape](size)
            stored.append(tasks.put((run, 0, value)))
        return stored

    def on_completions(message: Msg) -> Sequence[Awaitable[None]]:
        stored: list[Awaitable[None]] = []
        for run, index, output in unpack(message.data):
            progress = runs.get(run)
            if progress is None:
                continue
            following = progress.take(index, output)
            if following is None:
                del runs[run]
                stored.append(connection.publish("ended", run.encode()))
            else:
                stored.extend([tasks.put((run, *task)) for task in following])
        return stored

    await Pull(connection, "EVENTS", on_event).start()
    await Pull(connection, "WAL", on_completions).start()
    await asyncio.Event().wait()


async def worker(url: str) -> None:
    connection = await nats.connect(url)
    completions = GroupCommit(connection.jetstream(), "wal.0", COMPLETIONS_MAX)

    def on_tasks(message: Msg) -> Sequence[Awaitable[None]]:
        return [completions.put((run, index, node(value))) for run, index, value in unpack(message.data)]

    await Pull(connection, "TASKS", on_tasks).start()
    await asyncio.Event().wait()


def node(value: Any) -> Any:
    return {"n": value["n"] + 1} if "n" in value else value


# --- the measurement


class BarePipeline:
    """The pipeline, running: a server with an empty store, one coordinator, one worker. An async context manager."""

    def __init__(self, shape: str = "chain", size: int = 3) -> None:
        self._shape, self._size, self._event = shape, size, event_of(shape, size)
        self._processes = Processes("bare")
        self._ends: dict[str, asyncio.Future[None]] = {}

    async def __aenter__(self) -> BarePipeline:
        self._processes.__enter__()
        try:
            await self._processes.watch_over(self._start(), READY_S)
        except BaseException:
            self._processes.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._events.close()
        await self._connection.close()
        self._processes.__exit__(None, None, None)

    def rss_mib(self) -> dict[str, float]:
        return self._processes.rss_mib()

    async def load(self, runs: int, concurrency: int) -> Load:
        """Raises BenchmarkFailed if the runs do not end."""
        prefix = time.monotonic_ns()

        async def one(number: int) -> None:
            run = f"{prefix}-{number}"
            ended = self._ends[run] = asyncio.get_running_loop().create_future()
            await self._events.put((run, self._event))
            await ended

        return await self._processes.watch_over(drive(one, runs, concurrency, nodes_of(self._shape, self._size)), LOAD_S)

    async def _start(self) -> None:
        port = free_port()
        config = self._processes.folder / "nats.conf"
        store = self._processes.folder / "store"
        config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n')
        self._processes.start("nats-server", program("nats-server"), "-c", str(config))
        await listening(port)
        url = f"nats://127.0.0.1:{port}"
        self._connection = await nats.connect(url)
        await create_streams(self._connection.jetstream())
        for role in ("coordinator", "worker"):
            arguments = ("--role", role, "--url", url, "--shape", self._shape, "--size", str(self._size))
            self._processes.start(role, sys.executable, "-m", "benchmarks.bare", *arguments)
        await self._connection.subscribe("ended", cb=self._on_ended)
        await self._connection.flush()
        self._events = GroupCommit(self._connection.jetstream(), "events.bare", in_flight_max=EVENTS_IN_FLIGHT_MAX)
        self._ends["ready"] = asyncio.get_running_loop().create_future()
        await self._events.put(("ready", self._event))  # it waits in the stream until both are there
        await self._ends["ready"]

    async def _on_ended(self, message: Msg) -> None:
        ended = self._ends.pop(message.data.decode(), None)
        if ended is not None and not ended.done():
            ended.set_result(None)


async def create_streams(manager: JetStreamContext) -> None:
    tasks = StreamConfig(name="TASKS", subjects=["tasks.>"], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.MEMORY)
    for config in (StreamConfig(name="EVENTS", subjects=["events.>"]), tasks, StreamConfig(name="WAL", subjects=["wal.>"])):
        await manager.add_stream(config)
        policy = AckPolicy.EXPLICIT if config is tasks else AckPolicy.ALL
        await manager.add_consumer(str(config.name), ConsumerConfig(durable_name=CONSUMER, ack_policy=policy, max_ack_pending=20_000))


def measure(scale: float) -> dict[str, Any]:
    """The figures of the three-node chain: one run at a time, and 2,000 at a time."""
    return run_in_loop(_measure(scale))


async def _measure(scale: float) -> dict[str, Any]:
    async with BarePipeline() as pipeline:
        await pipeline.load(int(5_000 * scale), 500)
        alone = await pipeline.load(max(int(200 * scale), 20), 1)
        crowd = await pipeline.load(int(20_000 * scale), 2_000)
        return {
            "nodes_per_s": crowd.nodes_per_s,
            "runs_per_s": crowd.runs_per_s,
            "p50_ms": alone.p50_ms,
            "p99_ms": alone.p99_ms,
            "fsync": True,
            "rss_mib": pipeline.rss_mib(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description="A process of the bare pipeline.")
    parser.add_argument("--role", choices=("coordinator", "worker"), required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="chain")
    parser.add_argument("--size", type=int, default=3)
    options = parser.parse_args()
    run_in_loop(worker(options.url) if options.role == "worker" else coordinator(options.url, options.shape, options.size))


if __name__ == "__main__":
    main()

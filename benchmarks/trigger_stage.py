"""The stage of a trigger: a fleet with one flow that it starts, and what is measured of every adapter in the same way.

    measured = await measure(Webhook(), scale)

`events_per_s`: of many at a time, from the source to the event on disk. `ceiling_per_s`: as many events, as many of them at a time, put by
our own publisher, in batches, without anything before it; measured before and after each crowd, on the same fleet, and taken in by the same
coordinator. `ratio`: of the two. `p50_ms`, `p99_ms`: one at a time with nothing else going on, from when it happens outside until its
RunStarted is on disk and read back here. `cpu_us_per_event`: by process, everything up to the end of the runs included.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

from jetfleet.broker.api.events import BATCH_HEADERS
from jetfleet.broker.client import Batcher, BrokerError, Message
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import encode

from .fleet import LOAD_S, READY_S, UNLIMITED, Fleet
from .load import percentile
from .observer import Observer
from .processes import BenchmarkFailed, Process, program

FLOW, TRIGGER = "taken", "in"
ROUNDS, ALONE, ALONE_MIN = 5, 200, 20
VALUE_BYTES = 200
LOOK_S, QUIET_S = 0.02, 0.3


class Stage:
    """A fleet of one coordinator and one worker, and the flow. An async context manager."""

    def __init__(self) -> None:
        self.fleet = Fleet()

    async def __aenter__(self) -> Stage:
        await self.fleet.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.fleet.__aexit__(*error)

    async def deploy(self, type: str, params: Mapping[str, Any]) -> None:
        """A flow that does next to nothing, started by a trigger of this type."""
        trigger = {"id": TRIGGER, "type": type, "params": dict(params)}
        nodes, edges = {"n0": {"type": "bench.inline"}}, [{"from": TRIGGER, "to": "n0"}]
        await self.fleet.deploy({"name": FLOW, "triggers": [trigger], "nodes": nodes, "edges": edges, "settings": UNLIMITED})

    def serve(self, type: str) -> Process:
        """Start `jetfleet trigger serve` for triggers of this type."""
        data = str(self.fleet.folder / "trigger")
        return self.fleet.start("trigger", program("jetfleet"), "trigger", "serve", "--type", type, "--data", data)

    async def says(self, state: str) -> None:
        """Wait until the process that serves the trigger says that it is in this state."""
        while all(each.state != state for each in (await self.fleet.client.trigger(FLOW, TRIGGER)).served.values()):
            await asyncio.sleep(LOOK_S)

    async def ceiling(self, count: int, window: int) -> float:
        """Bare events per second, with so many of them not on disk at a time. Raises BenchmarkFailed if one is refused."""
        bare = _Bare(Batcher(self.fleet.client.connection.publisher, subjects.event(FLOW, TRIGGER), headers=BATCH_HEADERS), count)
        return await bare.per_s(window)

    async def quiet(self) -> None:
        """Wait until all events are runs, and all runs have ended."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            await asyncio.sleep(LOOK_S)
            now = await self._written()
            if now != last or (await self._state(subjects.EVENTS))["messages"]:
                last, since = now, time.monotonic()

    async def alone(self, one: Callable[[], Awaitable[float]], count: int) -> list[float]:
        """How long each of so many took, one after the other, in ascending order. `one`: when it happened, by the performance counter."""
        found: list[float] = []
        async with Observer(self.fleet.client) as observer:
            for _ in range(count + 1):
                before = len(observer.begun)
                began = await one()
                await observer.started(before + 1)
                found.append((time.perf_counter() - began) * 1e3)
        return sorted(found[1:])  # the first one finds nothing prepared

    def arrivals(self) -> Arrivals:
        return Arrivals(self)

    async def last_event(self) -> int:
        """The sequence of the last message in EVENTS."""
        return int((await self._state(subjects.EVENTS))["last_seq"])

    async def _written(self) -> int:
        """How many messages the log has ever had."""
        partitions = range(self.fleet.client.partitions)
        return sum([(await self._state(subjects.wal_stream(partition)))["last_seq"] for partition in partitions])

    async def _state(self, stream: str) -> dict[str, Any]:
        info = await self.fleet.client.connection.streams.stream_info(stream)
        assert info is not None
        state: dict[str, Any] = info["state"]
        return state


class Arrivals:
    """Events of the flow that others publish, from when it is entered on: seen on their way, and counted once the stream has them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ids: set[str] = set()
        self._events = self._before = 0
        self._came = asyncio.Event()

    async def __aenter__(self) -> Arrivals:
        connection = self._stage.fleet.client.connection
        self._before = await self._stage.last_event()
        self._subscription = await connection.subscribe(subjects.event(FLOW, TRIGGER), self._take)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._subscription.stop()

    async def on_disk(self, count: int) -> None:
        """Wait until so many are."""
        while self._events < count:
            self._came.clear()
            await self._came.wait()
        while await self._stage.last_event() - self._before < len(self._ids):
            await asyncio.sleep(0)

    def _take(self, message: Message) -> None:
        id = message.headers.get("Nats-Msg-Id", str(len(self._ids)))
        if id not in self._ids:  # else it was sent again
            self._ids.add(id)
            self._events += len(messages.split(message.data)) if "Jetfleet-Batch" in message.headers else 1
            self._came.set()


class Adapter(ABC):
    """One kind of source. `events`: how many make a crowd; `window`: how many of them are on their way at a time."""

    events = 20_000
    window = 256

    @abstractmethod
    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        """Deploy the flow and let the trigger be served; what has to be closed again goes on the stack."""

    async def prepare(self, count: int) -> None:  # noqa: B027 (not all have something to prepare)
        """What a crowd needs before its time begins."""

    @abstractmethod
    async def crowd(self, count: int) -> None:
        """Many at a time; returns when all their events are on disk."""

    @abstractmethod
    async def one(self) -> float:
        """One happening; when it happened, by the performance counter."""

    async def more(self, stage: Stage, alone: int) -> dict[str, Any]:
        """Figures that only this adapter has."""
        return {}


async def measure(adapter: Adapter, scale: float) -> dict[str, Any]:
    """The figures of one adapter. Raises BenchmarkFailed."""
    count, alone, rounds = int(adapter.events * scale), max(int(ALONE * scale), ALONE_MIN), max(int(ROUNDS * scale), 1)
    async with Stage() as stage, AsyncExitStack() as stack:
        await stage.fleet.watch_over(adapter.open(stage, stack), READY_S)
        figures = await stage.fleet.watch_over(_crowds(stage, adapter, count, rounds), LOAD_S)
        latencies_ms = await stage.fleet.watch_over(stage.alone(adapter.one, alone), LOAD_S)
        figures |= {"p50_ms": percentile(latencies_ms, 0.5), "p99_ms": percentile(latencies_ms, 0.99)}
        return figures | await stage.fleet.watch_over(adapter.more(stage, alone), LOAD_S)


async def _crowds(stage: Stage, adapter: Adapter, count: int, rounds: int) -> dict[str, Any]:
    await stage.fleet.watch_over(_warm_up(stage, adapter, count // 10), LOAD_S)
    ceilings, rates, cpu_s = [await _ceiling(stage, adapter, count)], [], dict.fromkeys(stage.fleet.cpu_s(), 0.0)
    for _ in range(rounds):
        await adapter.prepare(count)
        cpu_before, began = stage.fleet.cpu_s(), time.perf_counter()
        await adapter.crowd(count)
        rates.append(count / (time.perf_counter() - began))
        await stage.quiet()
        cpu_s = {name: cpu_s.get(name, 0.0) + seconds - cpu_before.get(name, 0.0) for name, seconds in stage.fleet.cpu_s().items()}
        ceilings.append(await _ceiling(stage, adapter, count))
    ratios = [rate / statistics.mean(ceilings[number : number + 2]) for number, rate in enumerate(rates)]
    return {
        "events_per_s": round(statistics.median(rates)),
        "ceiling_per_s": round(statistics.median(ceilings)),
        "ratio": round(statistics.median(ratios), 3),
        "cpu_us_per_event": {name: cost for name, seconds in cpu_s.items() if (cost := round(seconds / (count * rounds) * 1e6))},
    }


async def _warm_up(stage: Stage, adapter: Adapter, count: int) -> None:
    await adapter.prepare(count)
    await adapter.crowd(count)
    await _ceiling(stage, adapter, count)


async def _ceiling(stage: Stage, adapter: Adapter, count: int) -> float:
    await stage.quiet()
    per_s = await stage.ceiling(count, adapter.window)
    await stage.quiet()
    return per_s


class _Bare:
    """So many events, each with the next one behind it as soon as it is on disk."""

    def __init__(self, batcher: Batcher, count: int) -> None:
        self._batcher, self._count, self._left = batcher, count, count
        prefix, value = time.monotonic_ns(), encode({"note": "x" * VALUE_BYTES})
        self._entries = (messages.encode(BatchedEvent(f"{prefix}-{number}", value)) for number in range(count))
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def per_s(self, window: int) -> float:
        began = time.perf_counter()
        self._put(window)
        try:
            await self._done
        finally:
            await self._batcher.close()
        return self._count / (time.perf_counter() - began)

    def settled(self, count: int, error: BrokerError | None) -> None:
        self._left -= count
        if self._done.done():
            return
        if error is not None:
            self._done.set_exception(BenchmarkFailed(f"a bare event is refused: {error}"))
        elif self._left:
            self._put(count)
        else:
            self._done.set_result(None)

    def _put(self, count: int) -> None:
        for entry in islice(self._entries, count):
            self._batcher.put(entry, self)

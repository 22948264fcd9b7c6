"""A stage: the simulated server with its faults, and clients of it, in virtual time.

    play(script, seed=3, answer_lost=0.3)      # the script is given the stage; the rates are of its faults

Does not: start a fleet. What whole fleets make of these faults is shown by seeds (`run.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random
from typing import Any
from unittest.mock import patch

from jetfleet.broker.client import Connection

from .clock import START_NS
from .faults import Faults
from .loop import VirtualLoop
from .server import SimulatedServer

SECOND_NS = 10**9


class Stage:
    """A simulated server and connections to it."""

    def __init__(self, stack: AsyncExitStack, seed: int, rates: dict[str, float], latency_s: float) -> None:
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        self.faults = Faults(seed, rates)
        wall_ns = lambda: START_NS + int((loop.time() - begin_s) * 1e9)  # noqa: E731
        self.server = SimulatedServer(seed, latency_s=latency_s, wall_ns=wall_ns, faults=self.faults)
        self.said: list[Any] = []
        self.server.log = lambda word, facts: self.said.append((word, facts))
        self._stack = stack

    async def connection(self, name: str = "client") -> Connection:
        with patch("jetfleet.broker.client.connection.Wire", self.server.wire):
            return await self._stack.enter_async_context(await Connection.open("nats://simulated", name=name))

    def stored(self, stream: str = "S") -> list[bytes]:
        return [message.data for message in self.server.streams[stream].store.messages.values()]

    def wire(self, name: str = "client") -> Any:
        return next(wire for wire in self.server.wires if wire.name == name)


def play(script: Callable[[Stage], Awaitable[None]], *, seed: int = 0, latency_s: float = 0.001, **rates: float) -> Stage:
    """In virtual time."""

    async def played() -> Stage:
        async with asyncio.timeout(600), AsyncExitStack() as stack:
            stage = Stage(stack, seed, rates, latency_s)
            await script(stage)
            return stage

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(Random(seed))) as runner:
        return runner.run(played())


async def made(connection: Connection, **config: Any) -> None:
    await connection.streams.create_or_update_stream({"name": "S", "subjects": ["s.>"], "allow_direct": True, **config})


async def consumer(connection: Connection, **config: Any) -> None:
    whole = {"durable_name": "d", "ack_policy": "explicit", "ack_wait": 2 * SECOND_NS, **config}
    await connection.streams.create_or_update_consumer("S", whole)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)

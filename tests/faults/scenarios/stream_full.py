"""F8: a stream of the fleet is full, or the whole store is: publishers are refused, the doctor names it, and it goes on when there is room again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from jetfleet.broker.client import StreamFull
from jetfleet.schemas import subjects

from ..accepting import doctor
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, SERVER, Shape, World, world

MIB = 1 << 20
STORE_BYTES, ROOM_BYTES = 256 * MIB, 64 * MIB
"""What the deployment plans with, and what the server has above it: for others, who take all of it."""
SPARE_BYTES = 8 << 10
"""A stream is never made smaller than what it holds: the server would throw away what is too much."""
RATE = 30
WARM = 20
FULL_S = 2.0
NAMED_S = 20
BALLAST = "BALLAST"
FULL = "STREAM_FULL"
"""What publishers write down that gave up, and the code of who is refused."""


async def play(settings: Settings) -> Outcome:
    kinds = list(KINDS)
    times = settings.count(len(kinds), 1)
    shape = Shape(rate=RATE, triggers=0, constants={}, store_bytes=STORE_BYTES, server={"store_bytes": STORE_BYTES + ROOM_BYTES})
    told: list[str] = []
    async with world(shape, settings.seed) as one:
        one.publish()
        for number in range(times):
            await one.ended(len(one.watcher.ends) + WARM)
            kind = kinds[number % len(kinds)]
            one.struck(kind, SERVER)
            async with KINDS[kind](one):
                await asyncio.sleep(FULL_S)
                told += await _named(one, kind)
            one.ledger.healed(f"{kind} {SERVER}")
        outcome = await judge("stream_full", times, one)
    outcome.complaints += told
    outcome.notes.append(f"{sum(fact.reason == FULL for fact in one.ledger.account().refused)} events were refused for good")
    return outcome


async def _named(one: World, kind: str) -> list[str]:
    """A complaint, unless the doctor says that something has no room."""
    ends_at, said = time.monotonic() + NAMED_S, ""
    while time.monotonic() < ends_at:
        said = await doctor(one, "--monitor", f"http://127.0.0.1:{one.server.monitor_port}")
        if any(line.startswith("bad") and any(word in line for word in NAMES[kind]) for line in said.splitlines()):
            return []
    return [f"{kind}: the doctor does not say so: {said}"]


@asynccontextmanager
async def full_stream(stream: str, one: World) -> AsyncIterator[None]:
    """It may hold a little more than it does."""
    info = await one.connection.streams.stream_info(stream)
    assert info is not None
    config = info["config"]
    await one.connection.streams.create_or_update_stream({**config, "max_bytes": info["state"]["bytes"] + SPARE_BYTES})
    try:
        yield
    finally:
        await one.connection.streams.create_or_update_stream(config)


@asynccontextmanager
async def full_store(one: World) -> AsyncIterator[None]:
    """Somebody else's stream takes what is left of it."""
    streams = one.connection.streams
    await streams.create_or_update_stream({"name": BALLAST, "subjects": ["ballast"], "storage": "file"})
    try:
        for size_bytes in (MIB, 1 << 14, 1 << 8):
            with suppress(StreamFull):
                while True:
                    await one.connection.publisher.publish("ballast", bytes(size_bytes))
        yield
    finally:
        await streams.delete_stream(BALLAST)


@asynccontextmanager
async def full_events(one: World) -> AsyncIterator[None]:
    """Nobody takes any: coordinators hang, and publishers go on."""
    for name in one.alive(COORDINATOR):
        one.children[name].freeze()
    try:
        async with full_stream(subjects.EVENTS, one):
            yield
    finally:
        for name in one.alive(COORDINATOR):
            one.children[name].thaw()


KINDS: Mapping[str, Callable[[World], AbstractAsyncContextManager[None]]] = {
    "a full WAL": partial(full_stream, subjects.wal_stream(0)),
    "full events": full_events,
    "a full store": full_store,
}
NAMES: Mapping[str, tuple[str, ...]] = {
    "a full WAL": (subjects.wal_stream(0),),
    "full events": (subjects.EVENTS,),
    "a full store": ("that the server may store",),
}
"""What the doctor's line has to say of each: which stream it is, or that the server has no more."""

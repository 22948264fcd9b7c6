"""F12: a worker that is a hundred times slower than the other one, and readers of everything who read nothing: nobody else is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..figures import Figures
from ..judge import judge
from ..noting import SLOW
from ..outcome import Outcome
from ..registry import Settings
from ..shape import telling
from ..world import COORDINATOR, WORKER, Shape, World, world

RUNS, RUNS_QUICK = 600, 100
SLOWER = 100
SLOTS = 4
"""Of each worker: few enough that tasks wait for the slow one's."""
READERS = 5
SUBJECTS = ("wal.>", "history.>", "events.>", "tasks.>", "ended.>")


async def play(settings: Settings) -> Outcome:
    runs = settings.count(RUNS, RUNS_QUICK)
    shape = Shape(rate=30, options={WORKER: ("--concurrency", str(SLOTS))}, readers=0, triggers=0, wrappers=telling(COORDINATOR))
    async with world(shape, settings.seed) as one:
        one.publish()
        await one.ended(runs // 4)
        figures = Figures(one, COORDINATOR)
        await figures.begin()
        slow = one.names(WORKER)[0]
        await one.stop(slow)
        one.start(slow, environment={SLOW: str(SLOWER)})
        one.struck("slow", slow)
        async with _who_never_read(one):
            await one.ended(runs, deadline_s=300)
            outcome = await judge("slow_consumer", runs, one, settle_s=120, usage=await figures.now())
    return outcome


@asynccontextmanager
async def _who_never_read(one: World) -> AsyncIterator[None]:
    """Subscribers whose sockets fill up."""
    writers = []
    for _ in range(READERS):
        _, writer = await asyncio.open_connection("127.0.0.1", one.server.port, limit=1)
        writer.write(b'CONNECT {"verbose":false}\r\n')
        for number, subject in enumerate(SUBJECTS):
            writer.write(f"SUB {subject} {number}\r\n".encode())
        writers.append(writer)
        one.ledger.fault("never reads", ", ".join(SUBJECTS))
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()

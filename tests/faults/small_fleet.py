"""A small fleet in one process, with a ledger and a recorder: for plays in which something is broken on purpose.

async with small_fleet(url, folder) as small:
    run = await small.send(CHAIN, "k1")
    await small.ended(run)
    complaints = check(await small.evidence())
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.schemas.errors import JetfleetError

from ..fleet.fleets import Fleet, fleet
from ..fleet.worker_processes import worker
from . import flows
from .evidence import Evidence
from .ledger import Ledger
from .recorder import Recorder

NODES = str(Path(__file__).with_name("small_nodes.py"))
PARTITIONS = 1
PATIENCE_S = 10.0
LOOK_S = 0.01


class SmallFleet:
    """`patience_s`: a play waits for what should happen until nothing has been logged for so long. Where something is broken it may never."""

    def __init__(self, fleet: Fleet, ledger: Ledger, recorder: Recorder, patience_s: float) -> None:
        self.fleet, self.ledger, self.recorder, self.patience_s = fleet, ledger, recorder, patience_s
        self.further: dict[str, Any] = {}
        """Fields of the evidence that only a play knows."""

    @property
    def client(self) -> Client:
        return self.fleet.client

    async def deploy(self, *definitions: Mapping[str, Any]) -> None:
        assert self.ledger.path is not None
        for each in definitions:
            await self.client.deploy(flows.with_ledger(dict(each), self.ledger.path), nodes=[NODES])

    async def send(self, flow: str, key: str) -> str:
        """An event as a publisher sends it: what it is told stands in the ledger."""
        try:
            run = await self.client.send(flow, flows.payload(1), id=key)
        except JetfleetError as error:
            self.ledger.refused(key, error.code)
            return ""
        self.ledger.acked(key, run)
        return run

    async def ended(self, *runs: str) -> None:
        """Wait for these ends, and write down that somebody was told."""
        await self.until(lambda: all(self.recorder.summary(run) is not None for run in runs))
        for run in runs:
            if (summary := self.recorder.summary(run)) is not None:
                self.ledger.terminal(run, summary.status)

    async def until(self, condition: Callable[[], bool], patience_s: float = 0.0) -> None:
        """`patience_s`: where it happens on broken code too, but takes its time."""
        seen, end = -1, 0.0
        while not condition():
            if self.recorder.size != seen:
                seen, end = self.recorder.size, time.monotonic() + (patience_s or self.patience_s)
            if time.monotonic() > end:
                return
            await asyncio.sleep(LOOK_S)

    async def evidence(self) -> Evidence:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience_s):
                await self.fleet.quiet()
        return await self.recorder.evidence(self.ledger, self.client, **self.further)


@asynccontextmanager
async def small_fleet(url: str, folder: Path, *, patience_s: float = PATIENCE_S) -> AsyncIterator[SmallFleet]:
    """A coordinator and a worker in this loop."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(fleet(url, folder, partitions=PARTITIONS, workers=0))
        await stack.enter_async_context(worker(url, folder / "worker", nodes=NODES))
        connection = await stack.enter_async_context(await Connection.open(url, name="recorder"))
        recorder = await stack.enter_async_context(Recorder(connection, PARTITIONS))
        yield SmallFleet(one, Ledger(folder / "ledger", fsync=False), recorder, patience_s)

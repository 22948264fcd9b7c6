"""The world outside of a Kafka trigger: who produces, and has been told partition and offset."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..kafka.topics import Cluster, Topic
from .stage import FLOW, Stage
from .worlds import AT_A_TIME, ENDS_S, Served

PORTION = 50


class Producers(Served):
    """A record is acknowledged when the broker has it: its place says which run it is going to be."""

    def __init__(self, url: str, folder: Path, cluster: Cluster) -> None:
        self._topic = Topic(cluster)
        (trigger,) = self._topic.flow(FLOW, max_in_flight=AT_A_TIME, max_poll_records=AT_A_TIME)["triggers"]
        super().__init__(url, folder, "kafka", trigger["params"])

    async def hand_over(self, stage: Stage, count: int) -> None:
        for first in range(0, count, PORTION):
            numbers = range(first, min(first + PORTION, count))
            await stage.room(numbers[-1])
            for number in numbers:
                self.ledger.offered(number)
            runs = await self._topic.send([b'{"n": %d}' % number for number in numbers])
            for number, run in zip(numbers, runs, strict=True):
                self.ledger.acknowledged(number, run)

    async def settled(self, stage: Stage) -> None:
        """Everything is committed, and nothing beyond it."""
        async with asyncio.timeout(ENDS_S):
            while sum(await self._topic.committed()) != len(self.ledger.told):
                await asyncio.sleep(0.05)

"""Doubt: which tasks may have been delivered before, although the server says that they come for the first time.

In a cluster deliveries are counted by the leader of a queue's consumer, and its successor may not have heard of the last ones. Then tasks
that were executed and recorded come again and look like new. So whatever was in the stream when a consumer got another leader, or
when this worker began to listen, is asked about. One server alone keeps count by itself: there this does nothing.
"""

from __future__ import annotations

import asyncio

import structlog

from ...broker.client import BrokerError, Connection, Message, Subscription
from ...schemas import subjects

LEADER_ELECTED = f"$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.{subjects.TASKS}.*"
RETRY_S = 0.25


class Doubt:
    """`covers` is cheap. While it is being found out how far the stream went, it covers everything."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._up_to = 0
        self._looking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Hear of elections from now on."""
        self._subscription = await self._connection.subscribe(LEADER_ELECTED, self._elected)

    async def stop(self) -> None:
        if self._subscription is not None:
            await self._subscription.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def covers(self, message: Message) -> bool:
        return self._looking > 0 or message.stream_seq <= self._up_to

    async def begin(self) -> None:
        """Doubt all that is in the stream now. Returns when it is known how much that is."""
        if not self._connection.is_clustered:
            return
        self._looking += 1
        try:
            self._up_to = max(self._up_to, await self._newest())
        finally:
            self._looking -= 1

    async def _newest(self) -> int:
        while True:
            try:
                newest = await self._connection.streams.last(subjects.TASKS, ">")
            except BrokerError as error:
                structlog.get_logger(__name__).debug("it is not known yet how far the tasks go", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return 0 if newest is None else newest.seq

    def _elected(self, advisory: Message) -> None:
        task = asyncio.get_running_loop().create_task(self.begin())
        self._looking += 1  # from now on, and not only when the task begins
        task.add_done_callback(self._looked)
        self._tasks.add(task)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking -= 1
        self._tasks.discard(task)

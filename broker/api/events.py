"""Events on their way out: one batcher per subject, so that a thousand starts at a time are a few messages.

Guarantees: `send` returns when the event is on disk. It raises StreamFull or another refusal if it certainly is not, and Unknown if nobody
can tell: to send it again with the same key is safe, it is the same run.
"""

from __future__ import annotations

import asyncio

from ...schemas import messages
from ...schemas.messages import BatchedEvent
from ..client import Batcher, BrokerError, Publisher

BATCH_HEADERS = {"Jetfleet-Batch": "1"}
"""A message of `messages.BatchedEvent`s. One without this header is one event, JSON or msgpack, its key the Nats-Msg-Id."""


class Events:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._batchers: dict[str, Batcher] = {}

    async def send(self, subject: str, event: BatchedEvent) -> None:
        """Publish one event. Raises BrokerError."""
        await self.put(subject, event)

    def put(self, subject: str, event: BatchedEvent) -> asyncio.Future[None]:
        """The same without waiting: the future is done when the event is on disk."""
        batcher = self._batchers.get(subject)
        if batcher is None:
            batcher = self._batchers[subject] = Batcher(self._publisher, subject, headers=BATCH_HEADERS, patient=False)
        receipt = _Receipt(asyncio.get_running_loop().create_future())
        batcher.put(messages.encode(event), receipt)
        return receipt.future

    async def close(self) -> None:
        """Wait for what is under way."""
        for batcher in self._batchers.values():
            await batcher.close()


class _Receipt:
    """Of one event."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def settled(self, count: int, error: BrokerError | None) -> None:
        if self.future.done():  # who waited has given up
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)

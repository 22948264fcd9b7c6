"""Collection questions: an owner's answers to which run an event has become a part of, and to what is gathered in its partition.

Both are answered when everything in the WAL has been taken in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import structlog

from ..client import BrokerError, Message
from ..collection_views import SHOWN_MAX
from .partition import Partition, Surroundings

_event = msgspec.msgpack.Decoder(tuple[str, str])
_flow = msgspec.msgpack.Decoder(str)
_encode = msgspec.msgpack.Encoder().encode

log = structlog.get_logger("jetfleet.coordinator")


class CollectionQuestions:
    """Answers for one partition."""

    def __init__(self, partition: Partition, around: Surroundings, caught_up: Callable[[], Awaitable[None]]) -> None:
        self._partition = partition
        self._around = around
        self._caught_up = caught_up
        self._answering: set[asyncio.Task[None]] = set()

    def joined(self, message: Message) -> None:
        self._answer(self._tell_joined(message))

    def collections(self, message: Message) -> None:
        self._answer(self._tell_collections(message))

    def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        error = None if task.cancelled() else task.exception()  # who asks and gets no answer asks again
        if error is not None and not isinstance(error, (msgspec.MsgspecError, BrokerError)):
            log.error("a question cannot be answered: a defect of jetfleet", partition=self._partition.number, exc_info=error)

    @property
    def _is_ours(self) -> bool:
        return self._around.holds(self._partition.number) and not self._partition.abandoned

    async def _tell_joined(self, message: Message) -> None:
        """The run that an event is, or will be, a part of; "" if that is not known any more, nil if the event has not been taken."""
        _, event = _event.decode(message.data)
        await self._caught_up()
        if self._is_ours:
            await message.respond(_encode(self._partition.collections.joined(event)))

    async def _tell_collections(self, message: Message) -> None:
        flow = _flow.decode(message.data)
        await self._caught_up()
        if self._is_ours:
            views = [view for view in self._partition.collections.views() if flow in ("", view.flow)]
            await message.respond(_encode(sorted(views, key=lambda view: view.first_at)[:SHOWN_MAX]))

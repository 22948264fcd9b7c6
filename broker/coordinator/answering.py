"""Answering: what everybody has in common who answers questions to a partition's owner.

Guarantees: a question is answered beside the taking in of records, and one that cannot be read, or whose answer cannot be sent, harms
nothing: who asks and gets no answer asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from ...schemas.messages import FAILURES
from ..client import BrokerError
from .partition import Partition
from .surroundings import Surroundings

UNANSWERED = (*FAILURES, BrokerError)
"""No defects of ours: the question cannot be read, or the answer not be sent."""

log = structlog.get_logger("jetfleet.coordinator")


class Answering:
    """Answers for one partition. `caught_up`: returns when everything that is in the WAL has been taken in."""

    def __init__(self, partition: Partition, around: Surroundings, caught_up: Callable[[], Awaitable[None]]) -> None:
        self._partition = partition
        self._around = around
        self._caught_up = caught_up
        self._answering: set[asyncio.Task[None]] = set()

    def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._done)

    async def _ours(self) -> bool:
        """Whether what is said now, with everything in the WAL taken in, is said by the owner."""
        await self._caught_up()
        return self._around.holds(self._partition.number) and not self._partition.abandoned

    def _done(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, UNANSWERED):
            log.error("a question cannot be answered: a defect of jetfleet", partition=self._partition.number, exc_info=error)

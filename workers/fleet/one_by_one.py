"""Messages that have taken a worker down, or may have: their tasks are executed one by one.

    ask the owner ──not wanted──▶ next
         │ wanted
         ├── the message has taken down as many workers as it may ──▶ failed as poison; once, then the next
         ▼
      execute ──▶ record ──on disk──▶ next

So everything before a task that kills its worker is on disk when it does, and after the next delivery it is the first one that is
still wanted: it is the one to blame.

A message with several deaths is a *suspect*: one suspect at a time executes, so that the next death does not fall back on others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ...broker.client import BrokerError
from ...schemas.records import Completion, Error
from .attempts import Attempts
from .completions import Completions, failure
from .ready import Ready
from .settings import POISON, SUSPECT_DEATHS
from .suspects import Suspects
from .traced import Traced
from .unit import UnitOfWork


class OneByOne:
    """`max_deliveries`: how many workers a task may take down. `on_poison` is told of one that has."""

    def __init__(
        self,
        traced: Traced,
        attempts: Attempts,
        completions: Completions,
        suspects: Suspects,
        max_deliveries: int,
        on_poison: Callable[[UnitOfWork, Ready, Error], None],
    ) -> None:
        self._traced = traced
        self._attempts = attempts
        self._completions = completions
        self._suspects = suspects
        self._max_deliveries = max_deliveries
        self._on_poison = on_poison
        self._turns = asyncio.Lock()

    async def execute(self, unit: UnitOfWork, tasks: list[Ready]) -> None:
        """Settle these tasks of the message, in order."""
        poisonous = unit.deaths >= self._max_deliveries
        for ready in tasks:
            async with self._turn(unit):
                if (await self._suspects.wanted([ready[0]]))[0]:
                    completion = self._poison(unit, ready) if poisonous else await self._attempt(unit, ready)
                    poisonous = False
                    if completion is not None:
                        await self._record(completion, ready)
            unit.settled(1)

    @asynccontextmanager
    async def _turn(self, unit: UnitOfWork) -> AsyncIterator[None]:
        if unit.deaths >= SUSPECT_DEATHS:
            async with self._turns:
                yield
        else:
            yield

    async def _attempt(self, unit: UnitOfWork, ready: Ready) -> Completion | None:
        """The attempt's completion, None if it was called off."""
        task, plan, node = ready
        if self._traced.executor.is_inline(node) and not self._attempts.has(task):
            unit.begin()
            try:
                return self._traced.inline(plan, node, task)
            finally:
                unit.pause()
        ended: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        self._attempts.start(ready, lambda completion: _resolve(ended, completion), unit.begin, unit.pause)
        return await ended

    async def _record(self, completion: Completion, ready: Ready) -> None:
        recorded = Recorded()
        self._completions.put(completion, ready[1], ready[2], recorded)
        await recorded.future

    def _poison(self, unit: UnitOfWork, ready: Ready) -> Completion:
        task, _, node = ready
        why = f"its worker died {unit.deaths} times while executing it"
        error = Error(POISON, why, False, node.id, task.attempt)
        self._on_poison(unit, ready, error)
        return failure(task, error, self._traced.executor)


class Recorded:
    """A receipt that can be awaited."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settled(self, count: int, error: BrokerError | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


def _resolve(ended: asyncio.Future[Completion | None], completion: Completion | None) -> None:
    if not ended.done():
        ended.set_result(completion)

"""Trials: a task that may have taken workers down is executed in a process of its own, so that what it does, it does to itself.

A worker that dies says nothing of the reason: it may have been a task, another one beside it, the kernel, or an operator. So deaths of
workers prove nothing against a task, and only send it here.

    wanted ─▶ a process of its own ─┬─ ends ─────────────────────▶ its completion, as of any attempt
                                    ├─ dies, less than PROOF ────▶ once more
                                    └─ dies, so often in a row ──▶ failed as poison

A task that takes the whole worker down from there too (with its container, say) is poison after LIVES times as many deaths. So is, at that
bound, a node that no other process finds by its name; until then it is executed in this process like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...schemas.records import Completion, Error
from ..executor import APART_MAX
from ..processes import PROCESS_DIED
from .attempts import Attempts
from .completions import Completions, failure
from .ready import Ready
from .settings import LIVES, POISON, SUSPECT_DEATHS
from .suspects import Suspects
from .traced import Traced
from .unit import UnitOfWork


class Trials:
    """`max_deliveries`: how often a task may take down what executes it. `on_poison` is told of one that has, `on_room` of each end."""

    def __init__(
        self,
        traced: Traced,
        attempts: Attempts,
        completions: Completions,
        suspects: Suspects,
        max_deliveries: int,
        on_poison: Callable[[UnitOfWork, Ready, Error], None],
        on_room: Callable[[], None],
    ) -> None:
        self.waiting = 0
        """Tasks that wait for their trial."""
        self._executor = traced.executor
        self._attempts = attempts
        self._completions = completions
        self._suspects = suspects
        self._proof = max(max_deliveries - SUSPECT_DEATHS, 1)
        self._lives = LIVES * max_deliveries
        self._on_poison = on_poison
        self._on_room = on_room
        self._room = asyncio.Semaphore(APART_MAX)

    async def execute(self, unit: UnitOfWork, ready: Ready) -> None:
        """Settle the task."""
        self.waiting += 1
        try:
            await self._room.acquire()
        finally:
            self.waiting -= 1
        try:
            completion = await self._verdict(unit, ready)
        finally:
            self._room.release()
            self._on_room()
        if completion is None:
            unit.settled(1)
        else:
            self._completions.put(completion, ready[1], ready[2], unit)

    async def _verdict(self, unit: UnitOfWork, ready: Ready) -> Completion | None:
        """What is to be recorded; None: nobody wants it, or it was called off."""
        if not (await self._suspects.wanted([ready[0]]))[0]:
            return None
        if unit.deaths >= self._lives:
            return self._poison(unit, ready, f"its worker died {unit.deaths} times while executing it")
        for _ in range(self._proof):
            completion = await self._attempt(unit, ready)
            if completion is None or not self._took_its_process_down(ready, completion):
                return completion
        why = f"its worker died {unit.deaths} times while executing it, and then a process of its own {self._proof} times"
        return self._poison(unit, ready, why)

    def _took_its_process_down(self, ready: Ready, completion: Completion) -> bool:
        """Nodes of mode `process` have policies of their own for that."""
        return completion.error is not None and completion.error.type == PROCESS_DIED and not self._executor.is_in_process(ready[2])

    async def _attempt(self, unit: UnitOfWork, ready: Ready) -> Completion | None:
        """The attempt's completion, None if it was called off."""
        ended: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        self._attempts.start(
            ready, lambda completion: _resolve(ended, completion), unit.begin, unit.pause, apart=True, still=self._suspects.still(ready[0])
        )
        return await ended

    def _poison(self, unit: UnitOfWork, ready: Ready, why: str) -> Completion:
        task, _, node = ready
        error = Error(POISON, why, False, node.id, task.attempt)
        self._on_poison(unit, ready, error)
        return failure(task, error, self._executor)


def _resolve(ended: asyncio.Future[Completion | None], completion: Completion | None) -> None:
    if not ended.done():
        ended.set_result(completion)

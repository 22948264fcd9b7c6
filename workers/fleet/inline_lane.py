"""The inline lane: tasks whose nodes are done in microseconds, executed one after the other in the event loop.

Costs no asyncio object per task. Every few milliseconds it gives way, so that acknowledgements and signs of life get their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic

from ...schemas.messages import Task
from ...schemas.payload_errors import ArenaFull
from ...schemas.records import Error
from .completions import Completions, failure
from .ready import Ready
from .traced import Traced
from .unit import UnitOfWork

TURN_S = 0.004
"""Longest stretch without giving way, as far as single nodes are shorter."""


class InlineLane:
    """`load` counts the messages that wait or are at work in the lane; `on_room` is called when there are fewer."""

    def __init__(self, traced: Traced, completions: Completions, on_room: Callable[[], None]) -> None:
        self._traced = traced
        self._completions = completions
        self._on_room = on_room
        self._waiting: deque[tuple[UnitOfWork, Iterator[Ready]]] = deque()
        self._scheduled = False
        self._count = 0
        """Messages that have passed through so far."""
        self._passing: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.overslept: Callable[[float], bool] = lambda known_at_s: False
        """Whether what was ours at that time may be somebody else's by now."""
        self.needs_slot: Callable[[UnitOfWork, Ready], None] = lambda unit, ready: None
        """Takes over a task whose output finds no room in the arena: in a slot it can wait."""
        self.ask_again: Callable[[UnitOfWork, list[Task]], None] = lambda unit, tasks: None

    @property
    def load(self) -> int:
        return len(self._waiting)

    def add(self, unit: UnitOfWork, tasks: Iterable[Ready]) -> None:
        """Execute these tasks of a message, after all that were added before. Each settles the unit when its completion is on disk."""
        self._waiting.append((unit, iter(tasks)))
        self._schedule()

    async def passed(self) -> None:
        """Wait until what is in the lane now has had its turn, whatever is added meanwhile."""
        if self._waiting:
            passing = asyncio.get_running_loop().create_future()
            self._passing.append((self._count + len(self._waiting), passing))
            await passing

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        end = monotonic() + TURN_S
        while self._waiting:
            unit, tasks = self._waiting[0]
            if self.overslept(unit.known_at):
                self._leave()
                self.ask_again(unit, [task for task, _, _ in tasks])
                continue
            unit.begin()
            through = self._work(unit, tasks, end)
            unit.pause()
            if not through:
                self._schedule()
                break
            self._leave()
        self._on_room()

    def _leave(self) -> None:
        """The first message has passed through."""
        self._waiting.popleft()
        self._count += 1
        while self._passing and self._passing[0][0] <= self._count:
            _, passing = self._passing.popleft()
            if not passing.done():
                passing.set_result(None)

    def _work(self, unit: UnitOfWork, tasks: Iterator[Ready], end: float) -> bool:
        """Execute until the turn is over. False: there may be more."""
        execute, put = self._traced.inline, self._completions.put
        for task, plan, node in tasks:
            try:
                completion = execute(plan, node, task)
            except ArenaFull:
                self.needs_slot(unit, (task, plan, node))
                continue
            except Exception as error:  # nothing that node code does gets here: a defect of ours must not stop the lane
                why = Error("internal", f"a defect of jetfleet: {error!r}", False, node.id, task.attempt)
                completion = failure(task, why, self._traced.executor)
            put(completion, plan, node, unit)
            if monotonic() > end:
                return False
        return True

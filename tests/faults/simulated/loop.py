"""The loop of a simulation: asyncio's, but nothing waits. When no callback is ready, time jumps to the next timer.

Callbacks of one process run in the order that asyncio gives them. Between processes there is no such order in the world, so where callbacks
of several are ready at once, chance decides whose come first. A callback of a process that is frozen waits, one of a dead process is
dropped (`process.py`).

Guarantees: with the same seed the same callbacks run in the same order at the same times. `run_in_executor` does what it is given in the
loop, a moment later. Nothing that hashes by its address is hashed so here: tasks and futures are numbered.
"""

from __future__ import annotations

import asyncio
import heapq
import traceback
from collections.abc import Callable
from contextvars import Context
from itertools import count
from random import Random
from typing import Any

from .clock import current, now
from .process import Process

_TICK_S = 1e-7
"""Timers that are due so close to one another are due at once."""
_SWEEP_FROM = 100
_THREAD_S = 0.002
"""The most that something takes which is done in a thread."""
_numbers = [count()]


class Stalled(Exception):
    """Nothing is ready, and there is no timer: nothing will ever happen again."""


def _number(self: Any) -> int:
    """A hash that is given out when it is first asked for: sets of such things are walked in the same order each time."""
    try:
        return self.number  # type: ignore[no-any-return]
    except AttributeError:
        self.number = next(_numbers[0])
        return self.number  # type: ignore[no-any-return]


class Task(asyncio.Task[Any]):
    number: int
    __hash__ = _number


class Future(asyncio.Future[Any]):
    number: int
    __hash__ = _number


class VirtualLoop(asyncio.BaseEventLoop):
    """`turns` counts the callbacks that were run. `unhandled`: what callbacks and tasks raised that nobody caught."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        _numbers[0] = count()
        self.turns = 0
        self.unhandled: list[tuple[str, str]] = []
        self._chance = chance
        self.set_task_factory(_task)
        self.set_exception_handler(lambda loop, context: self._unhandled(context))

    def time(self) -> float:
        return now.monotonic_s

    def create_future(self) -> asyncio.Future[Any]:
        return Future(loop=self)

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        self.call_later(self._chance.random() * _THREAD_S, _work, future, function, args)
        return future

    def _run_once(self) -> None:
        self._sweep()
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not scheduled:
                raise Stalled("nothing is ready, and no timer is set")
            now.monotonic_s = max(now.monotonic_s, scheduled[0]._when)
        end = now.monotonic_s + _TICK_S
        while scheduled and scheduled[0]._when <= end:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        if len(ready) > 1:
            self._mix()
        for _ in range(len(ready)):
            self._run(ready.popleft())

    def _run(self, handle: asyncio.Handle) -> None:
        if handle._cancelled:  # type: ignore[attr-defined]
            return
        process = handle._context.get(current)  # type: ignore[attr-defined]
        if process is None or process.runs:
            self.turns += 1
            handle._run()
        elif not process.dead:
            process.held.append(handle)

    def _mix(self) -> None:
        """Let chance decide which process comes first."""
        ready = self._ready  # type: ignore[attr-defined]
        by_process: dict[Process | None, list[asyncio.Handle]] = {}
        for handle in ready:
            by_process.setdefault(handle._context.get(current), []).append(handle)
        if len(by_process) > 1:
            groups = list(by_process.values())
            self._chance.shuffle(groups)
            ready.clear()
            for group in groups:
                ready.extend(group)

    def _sweep(self) -> None:
        """Forget timers that were cancelled, as asyncio does."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        cancelled = self._timer_cancelled_count  # type: ignore[attr-defined]
        if len(scheduled) > _SWEEP_FROM and cancelled > len(scheduled) // 2:
            kept = []
            for handle in scheduled:
                if handle._cancelled:
                    handle._scheduled = False
                else:
                    kept.append(handle)
            heapq.heapify(kept)
            self._scheduled = kept
            self._timer_cancelled_count = 0
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]

    def _unhandled(self, context: dict[str, Any]) -> None:
        who, error = current.get(), context.get("exception")
        place = traceback.extract_tb(error.__traceback__)[-1:] if error is not None else ()
        where = "".join(f" at {frame.filename}:{frame.lineno}" for frame in place)
        self.unhandled.append((who.name if isinstance(who, Process) else "the world", f"{context['message']}: {error!r}{where}"))

    def _process_events(self, events: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
    return Task(coroutine, loop=loop, context=context) if context is not None else Task(coroutine, loop=loop)


def _work(future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)

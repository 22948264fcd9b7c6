"""Threads for blocking node code, which may be abandoned.

A thread cannot be interrupted. When nobody waits for its work any more (timeout, cancellation) it is abandoned: it goes on, its result is
dropped, and `abandoned` counts it until it ends. New work never queues behind abandoned threads: a thread is started whenever none is
idle. So there are as many as there are attempts at a time, which the caller bounds, plus the abandoned ones.

They are daemons: a thread that hangs for ever does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Threads:
    """Runs functions in threads, for one event loop at a time. Idle threads wait for the next function."""

    def __init__(self) -> None:
        self.abandoned = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    async def run(self, function: Callable[[], Result]) -> Result:
        """The function's result. Cancelling abandons the thread; what the function raises is raised here."""
        job = _Job(function, asyncio.get_running_loop())
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False):
            self._started += 1
            threading.Thread(target=self._work, name=f"jetfleet-node-{self._started}", daemon=True).start()
        try:
            result: Result = await job.ended
        except asyncio.CancelledError:
            if not job.over:
                self.abandoned += 1
                job.when_over = self._one_back
            raise
        return result

    def close(self) -> None:
        """Let idle threads end, and busy ones when they are done."""
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0

    def _one_back(self) -> None:
        self.abandoned -= 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.work()
            del job  # an idle thread must not keep the last value alive
            self._idle.release()


class _Job:
    """One function on its way through a thread. All but `work` runs in the loop."""

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.over = False
        self.when_over: Callable[[], None] = _nothing
        self.ended: asyncio.Future[Any] = loop.create_future()
        self._function = function
        self._loop = loop

    def work(self) -> None:
        result, error = None, None
        try:
            result = self._function()
        except BaseException as raised:
            error = raised
        # The loop may have been closed while an abandoned thread went on: then nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, result, error)

    def _end(self, result: Any, error: BaseException | None) -> None:
        self.over = True
        self.when_over()
        if self.ended.cancelled():
            return
        if error is None:
            self.ended.set_result(result)
        else:
            self.ended.set_exception(error)


def _nothing() -> None:
    pass

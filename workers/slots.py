"""Slots: how many attempts execute at once in this process.

What finds no room waits in the order in which it came. A slot is held by a running asyncio task and by nothing else: when the task is over,
however it ended, the slot is free. The limits that flows set are the engine's matter: who comes here has got what they ask for.

A task that goes on after its cancellation is abandoned after a grace: its slot is free, nobody waits for it, `abandoned` holds it until
its end. Only `close` ends it by force, where Python has the force to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from ..schemas.records import Error

GRACE_S = 1.0
"""How long a cancelled attempt may take to clean up after itself before it is abandoned."""
ENDING_S = 0.1
"""How long `close` waits for tasks that it has ended by force to notice."""


@dataclass(slots=True, eq=False)
class Job:
    """`start` makes the coroutine when there is room. `fail` is told why the job is given up that does not heed its timeout."""

    start: Callable[[], Coroutine[Any, Any, None]]
    fail: Callable[[Error], None] | None = None
    slots: Slots | None = None  # where it runs
    task: asyncio.Task[None] | None = None
    gone: bool = False
    sleepers: int = 0
    """Sleeps of the attempt in virtual time; while there are any, it is not at work."""

    def cancel(self) -> None:
        """No longer wanted, whether it waits or runs."""
        self.gone = True
        if self.task is not None and not self.task.done():
            self.task.cancel()
            if self.slots is not None:
                asyncio.get_running_loop().call_later(GRACE_S, self.slots.abandon, self)

    def overran(self, timeout_ms: int) -> None:
        """Cancelled at its timeout, it has not ended: its attempt has."""
        if self.slots is not None:
            self.slots.abandon(self)
        if self.fail is not None:
            self.fail(Error("timeout", f"the node did not end within {timeout_ms} ms, nor when it was cancelled", True))


current_job: ContextVar[Job | None] = ContextVar("current_job", default=None)
"""The job that the running code belongs to, also in the tasks that it has started itself."""


class Slots:
    """`total`: the most that run at once. Each job runs in a context of its own, made by `fresh_context`; `on_end` is called after each."""

    def __init__(self, total: int, fresh_context: Callable[[], Context] = copy_context, on_end: Callable[[], None] = lambda: None) -> None:
        self.total = total
        self.running: dict[Job, None] = {}
        self.abandoned: dict[Job, None] = {}
        self._fresh_context = fresh_context
        self._on_end = on_end
        self._ready: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Run the job as soon as there is room for it."""
        if self._ready or len(self.running) >= self.total:
            self._ready.append(job)
        else:
            self._start(job)

    def resize(self, total: int) -> None:
        """From now on so many run at once. What is running goes on, also if it is more."""
        self.total = total
        self._fill()

    async def close(self) -> None:
        """Wait for what is still running, which has been cancelled, for the grace; then end it by force."""
        tasks = [job.task for job in self.running if job.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_S)
        stubborn = [job.task for job in (*self.running, *self.abandoned) if job.task is not None]
        for task in stubborn:
            with contextlib.suppress(RuntimeError):  # it catches even GeneratorExit
                task.get_coro().close()
            task.cancel()
        if stubborn:
            await asyncio.wait(stubborn, timeout=ENDING_S)

    def abandon(self, job: Job) -> None:
        """Give the slot of a job that does not end to the next one."""
        if job in self.running:
            self.abandoned[job] = None
            self._leave(job)

    @property
    def at_work(self) -> bool:
        """Whether any attempt does something else than sleeping in virtual time."""
        return any(not job.sleepers for job in self.running)

    def _fill(self) -> None:
        while self._ready and len(self.running) < self.total:
            job = self._ready.popleft()
            if not job.gone:
                self._start(job)

    def _start(self, job: Job) -> None:
        context = self._fresh_context()
        context.run(current_job.set, job)
        self.running[job] = None
        job.slots = self
        job.task = asyncio.get_running_loop().create_task(job.start(), context=context)
        job.task.add_done_callback(lambda task: self._ended(job, task))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # of one that was ended by force; asyncio need not complain of it
        if job in self.abandoned:
            self.abandoned.pop(job, None)
        else:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self.running.pop(job, None)
        if self._ready:
            self._fill()
        self._on_end()

"""Slots: how many attempts execute at once, in all and per concurrency key.

What finds no room waits in the order in which it came; a key that is full holds up nobody but its own followers. A slot is held
by a running asyncio task and by nothing else: when the task is over, however it ended, the slot is free.

A task that goes on after its cancellation is abandoned after a grace: its slot is free, nobody waits for it, `abandoned` holds it until
its end. Only `close` ends it by force, where Python has the force to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from ..schemas.records import Error

GRACE_S = 1.0
"""How long a cancelled attempt may take to clean up after itself before it is abandoned."""
ENDING_S = 0.1
"""How long `close` waits for tasks that it has ended by force to notice."""


@dataclass(slots=True, eq=False)
class Job:
    """`start` makes the coroutine when there is room. `limit` and `key` bound it among its likes; key None: no bound.

    `fail` is told why the job is given up, whether it was refused or does not heed its timeout.
    """

    start: Callable[[], Coroutine[Any, Any, None]]
    key: Hashable | None = None
    limit: int = 0
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"
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
        _refuse(self, Error("timeout", f"the node did not end within {timeout_ms} ms, nor when it was cancelled", True))


current_job: ContextVar[Job | None] = ContextVar("current_job", default=None)
"""The job that the running code belongs to, also in the tasks that it has started itself."""


@dataclass(slots=True)
class _Lane:
    """The jobs of one key: those that run or are about to, and those that wait for one of these to end."""

    inside: list[Job] = field(default_factory=list)
    held: deque[Job] = field(default_factory=deque)

    def wanted(self) -> list[Job]:
        """From the oldest to the newest."""
        return [job for job in (*self.inside, *self.held) if not job.gone]


class Slots:
    """`total`: the most that run at once. Each job runs in a context of its own, made by `fresh_context`; `on_end` is called after each."""

    def __init__(self, total: int, fresh_context: Callable[[], Context] = copy_context, on_end: Callable[[], None] = lambda: None) -> None:
        self.total = total
        self.running: set[Job] = set()
        self.abandoned: set[Job] = set()
        self._fresh_context = fresh_context
        self._on_end = on_end
        self._ready: deque[Job] = deque()
        self._lanes: dict[Hashable, _Lane] = {}

    def submit(self, job: Job) -> None:
        """Run the job as soon as there is room for it."""
        if job.key is not None and not self._enter_lane(job):
            return
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
            self.abandoned.add(job)
            self._leave(job)

    @property
    def at_work(self) -> bool:
        """Whether any attempt does something else than sleeping in virtual time."""
        return any(not job.sleepers for job in self.running)

    def _fill(self) -> None:
        while self._ready and len(self.running) < self.total:
            job = self._ready.popleft()
            if job.gone:
                self._leave_lane(job)
            else:
                self._start(job)

    def _start(self, job: Job) -> None:
        context = self._fresh_context()
        context.run(current_job.set, job)
        self.running.add(job)
        job.slots = self
        job.task = asyncio.get_running_loop().create_task(job.start(), context=context)
        job.task.add_done_callback(lambda task: self._ended(job, task))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # of one that was ended by force; asyncio need not complain of it
        if job in self.abandoned:
            self.abandoned.discard(job)
        else:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self.running.discard(job)
        if job.key is not None:
            self._leave_lane(job)
        if self._ready:
            self._fill()
        self._on_end()

    # --- concurrency keys

    def _enter_lane(self, job: Job) -> bool:
        """Whether there is room in the job's lane. If not, it waits there or is refused, or drives out the oldest."""
        lane = self._lanes.setdefault(job.key, _Lane())
        if len(lane.inside) < job.limit:
            lane.inside.append(job)
            return True
        wanted = lane.wanted()
        if job.on_limit == "reject" and len(wanted) >= job.limit:
            _refuse(job, Error("concurrency_limit", f"{job.limit} of its kind are running", True))
            return False
        lane.held.append(job)
        if job.on_limit == "cancel_oldest" and len(wanted) >= job.limit:
            # Not to be tried again: it would drive out the one that took its place.
            _refuse(wanted[0], Error("concurrency_limit", "a newer one of its kind took its place", False))
            wanted[0].cancel()
        return False

    def _leave_lane(self, job: Job) -> None:
        lane = self._lanes.get(job.key) if job.key is not None else None
        if lane is None or job not in lane.inside:
            return
        lane.inside.remove(job)
        while lane.held:
            follower = lane.held.popleft()
            if not follower.gone:
                lane.inside.append(follower)
                self._ready.append(follower)
                return
        if not lane.inside:
            del self._lanes[job.key]


def _refuse(job: Job, why: Error) -> None:
    if job.fail is not None:
        job.fail(why)

"""Slots: how many attempts execute at once, in all and per concurrency key.

What finds no room waits in the order in which it came; a key that is full holds up nobody but its own followers. A slot is held
by a running asyncio task and by nothing else: when the task is over, however it ended, the slot is free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

CLOSE_GRACE_S = 5.0
"""How long `close` waits for cancelled attempts to clean up after themselves."""


@dataclass(slots=True, eq=False)
class Job:
    """`start` makes the coroutine when there is room. `limit` and `key` bound it among its likes; key None: no bound."""

    start: Callable[[], Coroutine[Any, Any, None]]
    key: Hashable | None = None
    limit: int = 0
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"
    refuse: Callable[[str, bool], None] | None = None  # told why it is not wanted, and whether it may be tried again
    task: asyncio.Task[None] | None = None
    gone: bool = False
    sleepers: int = 0
    """Sleeps of the attempt in virtual time; while there are any, it is not at work."""

    def cancel(self) -> None:
        """No longer wanted, whether it waits or runs."""
        self.gone = True
        if self.task is not None:
            self.task.cancel()


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

    async def close(self) -> None:
        """Wait for what is still running, which has been cancelled, but not for ever."""
        tasks = [job.task for job in self.running if job.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_GRACE_S)

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
        job.task = asyncio.get_running_loop().create_task(job.start(), context=context)
        job.task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
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
            _refuse(job, f"{job.limit} of its kind are running", True)
            return False
        lane.held.append(job)
        if job.on_limit == "cancel_oldest" and len(wanted) >= job.limit:
            # Not to be tried again: it would drive out the one that took its place.
            _refuse(wanted[0], "a newer one of its kind took its place", False)
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


def _refuse(job: Job, why: str, again: bool) -> None:
    if job.refuse is not None:
        job.refuse(why, again)

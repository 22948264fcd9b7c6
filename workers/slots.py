"""Slots: how many attempts execute at once, in all and per concurrency key.

What finds no room waits in the order in which it came; a key that is full holds up nobody but its own followers. A slot is held
by a running asyncio task and by nothing else: when the task is over, however it ended, the slot is free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(slots=True, eq=False)
class Job:
    """`start` makes the coroutine when there is room. `limit` and `key` bound it among its likes; key None: no bound."""

    start: Callable[[], Coroutine[Any, Any, None]]
    key: Hashable | None = None
    limit: int = 0
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"
    refuse: Callable[[str], None] | None = None  # told why, when it is rejected or superseded
    task: asyncio.Task[None] | None = None
    gone: bool = False

    def cancel(self) -> None:
        """No longer wanted, whether it waits or runs."""
        self.gone = True
        if self.task is not None:
            self.task.cancel()


class Slots:
    """`total`: the most that run at once."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.running = 0
        self._waiting: deque[Job] = deque()
        self._by_key: dict[Hashable, list[Job]] = {}

    def submit(self, job: Job) -> None:
        """Run the job as soon as there is room for it."""
        if job.key is not None and self._is_full(job):
            if job.on_limit == "reject" and job.refuse is not None:
                job.refuse(f"{job.limit} of its kind are running")
                return
            if job.on_limit == "cancel_oldest":
                self._cancel_oldest(job)
        if self.running < self.total and not self._is_full(job):
            self._start(job)
        else:
            self._waiting.append(job)

    def _is_full(self, job: Job) -> bool:
        return job.key is not None and len(self._by_key.get(job.key, ())) >= job.limit

    def _cancel_oldest(self, job: Job) -> None:
        oldest = self._by_key[job.key][0]
        if oldest.refuse is not None:
            oldest.refuse("a newer one of its kind took its place")
        oldest.cancel()

    def _start(self, job: Job) -> None:
        self.running += 1
        if job.key is not None:
            self._by_key.setdefault(job.key, []).append(job)
        job.task = asyncio.get_running_loop().create_task(job.start())
        job.task.add_done_callback(lambda task: self._ended(job, task))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        self.running -= 1
        if job.key is not None:
            same = self._by_key[job.key]
            same.remove(job)
            if not same:
                del self._by_key[job.key]
        if not task.cancelled() and task.exception() is not None:
            raise RuntimeError("an attempt ended outside of its executor") from task.exception()
        self._fill()

    def _fill(self) -> None:
        held: list[Job] = []
        while self._waiting and self.running < self.total:
            job = self._waiting.popleft()
            if job.gone:
                continue
            if self._is_full(job):
                held.append(job)
            else:
                self._start(job)
        self._waiting.extendleft(reversed(held))

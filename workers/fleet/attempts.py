"""Attempts that take time: each in a slot, known by its run, activation and attempt, so that it can be called off.

The same attempt is never executed twice at once in one process: whoever asks for it again is told what comes of the one under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeAlias

from ...schemas.messages import Task
from ...schemas.records import Completion, Error
from ..slots import Job, Slots
from .completions import failure
from .ready import Ready
from .traced import Traced
from .watch import Key

Done: TypeAlias = Callable[[Completion | None], None]
"""Called once with the completion, or with None: the attempt was called off, and there is nothing to report."""

Still: TypeAlias = Callable[[], Awaitable[bool]]
FRESH_S = 0.02
"""How long an answer is good for that an attempt waits with for its slot; after that another worker may have recorded it."""
WEIGHT = 0.2
"""Of the latest attempt in the mean duration."""


class _Attempt:
    __slots__ = ("apart", "begin", "done", "job", "pause", "ready", "since_s", "still")

    def __init__(
        self, ready: Ready, done: Done, begin: Callable[[], None], pause: Callable[[], None], apart: bool, still: Still | None
    ) -> None:
        self.ready, self.done, self.begin, self.pause, self.apart, self.still = ready, [done], begin, pause, apart, still
        self.since_s = monotonic()
        self.job: Job


class Attempts:
    """Attempts in the slots of a worker."""

    def __init__(self, traced: Traced, slots: Slots) -> None:
        self._traced = traced
        self._slots = slots
        self._open: dict[Key, _Attempt] = {}
        self.executed = 0
        self.mean_us = float("inf")
        """How long an attempt takes, as a running mean."""

    @property
    def load(self) -> int:
        """Attempts that have a slot or wait for one."""
        return len(self._open)

    def start(
        self,
        ready: Ready,
        done: Done,
        begin: Callable[[], None],
        pause: Callable[[], None],
        *,
        apart: bool = False,
        still: Still | None = None,
    ) -> None:
        """Execute as soon as a slot is free. `begin` and `pause` are called around the execution itself. `apart`: in its own process.

        `still` says whether the attempt is wanted, and did just now: it is asked once more if a slot takes long to come.
        """
        task = ready[0]
        key = key_of(task)
        running = self._open.get(key)
        if running is not None:
            running.done.append(done)
            return
        attempt = _Attempt(ready, done, begin, pause, apart, still)
        attempt.job = Job(lambda: self._execute(key, attempt), fail=lambda error: self._end(key, self._failure(task, error)))
        self._open[key] = attempt
        self._slots.submit(attempt.job)

    def has(self, task: Task) -> bool:
        """Whether this attempt has a slot or waits for one."""
        return key_of(task) in self._open

    def call_off(self, key: Key) -> bool:
        """The attempt is no longer wanted. False: it is not here."""
        attempt = self._open.get(key)
        if attempt is None:
            return False
        self._end(key, None)
        attempt.job.cancel()
        return True

    def call_off_all(self) -> None:
        for key in list(self._open):
            self.call_off(key)

    async def _execute(self, key: Key, attempt: _Attempt) -> None:
        task, plan, node = attempt.ready
        if attempt.still is not None and monotonic() - attempt.since_s > FRESH_S and not await attempt.still():
            self._end(key, None)
            return
        attempt.begin()
        try:
            completion = await self._traced.execute(plan, node, task, attempt.apart)
        except Exception as error:  # nothing that node code does gets here
            completion = self._failure(task, Error("internal", f"a defect of jetfleet: {error!r}", False))
        finally:
            attempt.pause()
        self.executed += 1
        self.mean_us = completion.took_us if self.executed == 1 else self.mean_us + WEIGHT * (completion.took_us - self.mean_us)
        self._end(key, completion)

    def _end(self, key: Key, completion: Completion | None) -> None:
        attempt = self._open.pop(key, None)
        if attempt is not None:  # it may have been given up before its code came to an end
            for done in attempt.done:
                done(completion)

    def _failure(self, task: Task, error: Error) -> Completion:
        return failure(task, error, self._traced.executor)


def key_of(task: Task) -> Key:
    return (task.run, task.activation, task.attempt)

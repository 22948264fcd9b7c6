"""Admission: how many runs of a flow are open at once (`settings.max_concurrent_executions`); the others wait in order.

Sub-flows are counted but never wait: their parent holds a place while it waits for them, so that queueing them behind
their parents could bring everything to a standstill.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .local_run import LocalRun


class Admission:
    """Flows are told apart by name, so that two versions of one share its limit."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._waiting: dict[str, deque[LocalRun]] = {}

    def enter(self, run: LocalRun) -> None:
        """Begin the run as soon as there is a place for it."""
        if run.parent is not None or self._open[run.plan.name] < run.plan.settings.max_concurrent_executions:
            self._begin(run)
        else:
            self._waiting.setdefault(run.plan.name, deque()).append(run)

    def leave(self, run: LocalRun) -> None:
        """A run that had begun has ended: its place goes to the next one."""
        name = run.plan.name
        self._open[name] -= 1
        waiting = self._waiting.get(name)
        if waiting:
            self._begin(waiting.popleft())
        else:
            self._waiting.pop(name, None)
            if not self._open[name]:
                del self._open[name]

    def withdraw(self, run: LocalRun) -> bool:
        """Take a run out of the queue that is not to begin any more. False: it does not wait there."""
        waiting = self._waiting.get(run.plan.name, ())
        if run not in waiting:
            return False
        self._waiting[run.plan.name].remove(run)
        return True

    def _begin(self, run: LocalRun) -> None:
        self._open[run.plan.name] += 1
        run.begin()

"""Queued runs: those of a partition that wait for their slots, by flow. They are open, but nothing of them is at work: admission does not
count them.

Else the events of a flow would wait in EVENTS, in order, behind a hundred runs that wait themselves, and no priority or fairness
could let anybody pass.
"""

from __future__ import annotations

from collections import Counter


class QueuedRuns:
    def __init__(self) -> None:
        self.by_flow: Counter[str] = Counter()
        self._flows: dict[str, str] = {}

    def __contains__(self, run: str) -> bool:
        return run in self._flows

    def __len__(self) -> int:
        return len(self._flows)

    def add(self, run: str, flow: str) -> None:
        if run not in self._flows:
            self._flows[run] = flow
            self.by_flow[flow] += 1

    def discard(self, run: str) -> None:
        """It has begun, or ended."""
        flow = self._flows.pop(run, None)
        if flow is not None:
            self.by_flow[flow] -= 1

"""What a coordinator counts: plain integers, read when somebody asks."""

from __future__ import annotations

from collections import Counter


class CoordinatorCounters:
    def __init__(self) -> None:
        self.events_taken = 0
        self.runs_started = 0
        self.runs_ended: Counter[str] = Counter()
        self.records_folded = 0
        self.records_ignored = 0
        self.tasks_emitted = 0
        self.timers_set = 0
        self.timers_fired = 0
        self.quarantined = 0

    def run_ended(self, status: str) -> None:
        self.runs_ended[status] += 1

"""Counters: what a process counts while it works, one object per role.

On the hot path a count is one addition to a plain integer. What the integers are called outside, and how they are written, is
metrics.py's matter and happens at a scrape. Gauges are questions (`open_runs`, …): whoever can answer one puts a function
there; until then it has no value. Counts begin at 0 with the process. For one thread, the event loop's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ..triggers.serving import Serving

RUN_STATUSES = ("completed", "failed", "cancelled", "killed")
COMPLETED, FAILED, CALLED_OFF = "completed", "failed", "cancelled"
OUTCOMES = (COMPLETED, FAILED, CALLED_OFF)
"""How an attempt ends on a worker."""
DURATION_BOUNDS_US = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 60_000_000, 600_000_000)
"""Upper bounds of the duration histogram's buckets, in µs; above the last there is one more."""

Number: TypeAlias = Callable[[], float | None]
ByPartition: TypeAlias = Callable[[], Mapping[int, float]]
ByName: TypeAlias = Callable[[], Mapping[str, float]]
ByNames: TypeAlias = Callable[[], Mapping[tuple[str, str], float]]


def unknown() -> None:
    """A gauge that nobody answers yet."""


def none_known() -> dict[str, float]:
    return {}


class CoordinatorCounters:
    """`open_runs`, `snapshot_age_s`: by partition. `events_held`, `events_collected`: by flow, in memory.

    `admission_closed`: 1 by (flow, reason).

    `slots_held`, `slots_waiting`: by limit, all its keys together.
    """

    __slots__ = (
        "admission_closed", "dead_letters", "effects_unacknowledged", "events_collected", "events_held", "events_taken", "open_runs",
        "records_folded", "records_ignored", "runs_ended", "runs_started", "slots_held", "slots_waiting", "snapshot_age_s",
        "tasks_emitted", "timers_fired", "timers_set",
    )  # fmt: skip

    def __init__(self) -> None:
        self.events_taken = self.runs_started = self.records_folded = self.records_ignored = 0
        self.tasks_emitted = self.timers_set = self.timers_fired = self.dead_letters = 0
        self.runs_ended = dict.fromkeys(RUN_STATUSES, 0)
        self.open_runs: ByPartition = dict
        self.snapshot_age_s: ByPartition = dict
        self.events_held: ByName = none_known
        self.events_collected: ByName = none_known
        self.admission_closed: ByNames = dict
        self.effects_unacknowledged: Number = unknown
        self.slots_held: ByName = none_known
        self.slots_waiting: ByName = none_known

    def run_ended(self, status: str) -> None:
        self.runs_ended[status] += 1


class Durations:
    """A histogram of durations in µs."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(DURATION_BOUNDS_US) + 1)
        self.sum_us = 0

    def add(self, us: int) -> None:
        self.counts[bisect_left(DURATION_BOUNDS_US, us)] += 1
        self.sum_us += us


class QueueCounters:
    """What a worker did of one queue's tasks. Hold on to it: looking it up by name is what there is to save."""

    __slots__ = ("called_off", "completed", "durations", "failed")

    def __init__(self) -> None:
        self.completed = self.failed = self.called_off = 0
        self.durations = Durations()

    def executed(self, failed: bool, took_us: int) -> None:
        """An attempt ended. `failed`: with an error, whatever comes of that."""
        if failed:
            self.failed += 1
        else:
            self.completed += 1
        self.durations.add(took_us)


class WorkerCounters:
    """`redeliveries`: messages that had been delivered before. `given_back`: tasks that somebody else is to execute."""

    __slots__ = ("completions_unacknowledged", "given_back", "queues", "redeliveries", "slots", "tasks_in_flight")

    def __init__(self) -> None:
        self.queues: dict[str, QueueCounters] = {}
        self.redeliveries = self.given_back = 0
        self.tasks_in_flight: Number = unknown
        self.slots: Number = unknown
        self.completions_unacknowledged: Number = unknown

    def queue(self, name: str) -> QueueCounters:
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = QueueCounters()
        return found


class TriggerCounters:
    """`served`: how each trigger is served in this process, as `broker.triggers.serving.Serving` says it."""

    __slots__ = ("served",)

    def __init__(self, served: Callable[[], Sequence[Serving]]) -> None:
        self.served = served


class ReaderCounters:
    """All of it is kept by the reader anyway. `positions`: by stream. `lag_s`: since it last had everything that was there."""

    __slots__ = ("backlog", "lag_s", "messages", "positions", "refused", "rows")

    def __init__(self) -> None:
        self.messages: Number = unknown
        self.rows: Number = unknown
        self.refused: Number = unknown
        self.positions: ByName = none_known
        self.backlog: Number = unknown
        self.lag_s: Number = unknown

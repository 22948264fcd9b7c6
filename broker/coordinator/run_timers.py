"""The timers of a partition's runs: which are in memory, which are the server's, and what comes of one that fires.

Every timer begins in memory. What is still far away when its run is written to a snapshot is handed over to the server, so only runs that
live that long ever cost it a schedule.

Guarantees: after `recovered` every timer that the state of a run names is set, in one place or the other.
Does not: fire anything into a run; what fires is a record in the WAL, and only by whoever holds the partition.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...schemas.codec import encode_record
from ...schemas.effects import ClearTimer, SetTimer
from ...schemas.records import TimerFired
from ..engine import timers
from .acknowledged import Ticket
from .collections import COLLECT
from .open_run import OpenRun
from .timers import HORIZON_MS, NearTimers

if TYPE_CHECKING:
    from .partition import Partition


class RunTimers:
    """Those of one partition. `near`: the ones in memory, among them those of its collectors."""

    def __init__(self, home: Partition) -> None:
        self.near = NearTimers(self._fire)
        self._home, self._counters = home, home.counters

    def set(self, effect: SetTimer) -> None:
        self._counters.timers_set += 1
        self.near.set(effect)

    def clear(self, run: OpenRun, effect: ClearTimer, ticket: Ticket) -> None:
        """The server can only have timers of runs that are in a snapshot; also in one that an owner who died did not come to the end of."""
        repeating = self._home.repeating
        due = self.near.clear(effect.run, effect.timer)
        may_be_far = bool(run.segment or repeating) if due is None else repeating and due > self._home.now_ms + HORIZON_MS
        if may_be_far:
            self._home.around.far_timers.clear(self._home.number, effect, ticket)

    def hand_over_far(self, run: OpenRun, ticket: Ticket) -> None:
        """Let the server keep the timers that are far away. Only runs that live long enough for a snapshot come here: most never do."""
        horizon = self._home.now_ms + HORIZON_MS
        for timer in timers(run.run):
            if timer.due > horizon:
                self._home.around.far_timers.set(self._home.number, timer, ticket)
                self.near.clear(timer.run, timer.timer)

    def recovered(self) -> None:
        """The end of the WAL has been reached: build what lives in memory from the state of the runs; from now on it fires."""
        horizon = time.time_ns() // 1_000_000 + HORIZON_MS
        changed = self._home.changed  # far timers of the others are on the server since their snapshot
        awake = [(id, run) for id, run in self._home.runs.items() if not run.rests]  # the others have no near ones
        self.near.replace(timer for id, run in awake for timer in timers(run.run) if timer.due <= horizon or id in changed)

    def stop(self) -> None:
        self.near.stop()

    def _fire(self, record: TimerFired) -> None:
        home = self._home
        if record.timer == COLLECT and not home.collections.rang(record.run, record.at):
            return
        if home.around.holds(home.number):
            self._counters.timers_fired += 1
            home.outbox.wal(home.number, encode_record(record))

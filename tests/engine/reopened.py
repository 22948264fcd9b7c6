"""A driven run that goes on after it was reopened: every turn of it is checked as those of the first life were."""

from __future__ import annotations

from jetfleet.broker.engine import reopen, to_fork, to_retry
from jetfleet.schemas.records import RunReopened

from .driving import Driver


class ReopenedDriver(Driver):
    """`before` is a run that was driven; its journal goes on here. With a `source` it counts as another run's, and attempts begin anew."""

    def __init__(self, before: Driver, dropped: tuple[int, ...], source: str = "", later_ms: int = 0) -> None:
        self.plan, self.now = before.plan, before.now + later_ms
        self._nothing_out()
        if not source:  # no attempt of an earlier life may be given out again
            self._dispatched = before._dispatched
        record = RunReopened("r1", self.now, len(before.journal), dropped, source=source)
        self.run, effects = reopen(self.plan, before.journal, record, keep=True)
        self.journal = [*before.journal, record]
        self._take(effects)


def retried(before: Driver, later_ms: int = 0) -> ReopenedDriver:
    return ReopenedDriver(before, to_retry(before.plan, before.journal), later_ms=later_ms)


def forked(before: Driver, node: str) -> ReopenedDriver:
    return ReopenedDriver(before, to_fork(before.plan, before.journal, node), source="r0")

"""Admission: how many runs of a flow may be open at once, and whether any may start at all.

It decides before there is a run: an event that finds no room stays in EVENTS. What is open is never counted up and down here: it is
asked of the partitions, so no place can leak. Only runs that were started and have not come back through the WAL yet are remembered.

With several coordinators each takes its share of a flow's limit, rounded up, for the runs in its own partitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from ...schemas.plan.plan import Plan
from .breaker import Breaker

log = structlog.get_logger("jetfleet.coordinator")


class Admission:
    """`open_runs(flow)` counts the open runs in this process; `coordinators()` how many share the work, `has_place()` whether this
    process has partitions at all: without any it would start runs and never count one."""

    def __init__(
        self, open_runs: Callable[[str], int], coordinators: Callable[[], int], has_place: Callable[[], bool] = lambda: True
    ) -> None:
        self._has_place = has_place
        self._open_runs = open_runs
        self._coordinators = coordinators
        self._coming: dict[str, set[str]] = {}
        self._breakers: dict[str, Breaker] = {}

    @property
    def has_place(self) -> bool:
        """Whether runs may begin here at all, now or when there is room."""
        return self._has_place()

    def room(self, plan: Plan) -> int:
        """How many runs of the flow may start now."""
        breaker = self._breaker(plan)
        now = _now_ms()
        if not breaker.allows(now) or not self._has_place():
            return 0
        limit = -(-plan.settings.max_concurrent_executions // max(1, self._coordinators()))
        room = limit - self._open_runs(plan.name) - len(self._coming.get(plan.name, ()))
        return min(room, 1) if breaker.opened_at is not None else room

    def closed_by(self, plan: Plan) -> str:
        """Why no run of the flow may start: `breaker`, `max_concurrent_executions`, or empty."""
        if not self._breaker(plan).allows(_now_ms()):
            return "breaker"
        return "" if self.room(plan) > 0 else "max_concurrent_executions"

    def open_breakers(self) -> list[str]:
        """Flows of which too many runs failed of late."""
        return [flow for flow, breaker in self._breakers.items() if breaker.opened_at is not None]

    def started(self, plan: Plan, run: str, here: bool) -> None:
        """A run is about to start. `here`: in a partition of this process, where it will be counted once it has begun."""
        if here:
            self._coming.setdefault(plan.name, set()).add(run)
        self._breaker(plan).started(_now_ms())

    def begun(self, flow: str, run: str) -> None:
        """Its RunStarted has come back through the WAL, as a new run or as a repetition."""
        coming = self._coming.get(flow)
        if coming is not None:
            coming.discard(run)

    def ended(self, plan: Plan, status: str) -> None:
        breaker = self._breakers.get(plan.name) or self._breaker(plan)  # the version may be an old one: the breaker is the current one's
        was_open = breaker.opened_at is not None
        breaker.ended(status == "failed", _now_ms())
        if was_open != (breaker.opened_at is not None):
            _say(plan.name, breaker)

    def forget_coming(self) -> None:
        """Partitions were lost: runs on their way to them will begin elsewhere."""
        self._coming.clear()

    def _breaker(self, plan: Plan) -> Breaker:
        breaker = self._breakers.get(plan.name)
        settings = plan.settings
        if breaker is None or (breaker.threshold, breaker.window_ms) != (
            settings.circuit_breaker_threshold,
            settings.circuit_breaker_window_ms,
        ):
            breaker = self._breakers[plan.name] = Breaker(settings.circuit_breaker_threshold, settings.circuit_breaker_window_ms)
        return breaker


def _say(flow: str, breaker: Breaker) -> None:
    """Events that wait for a breaker look like a fleet that is stuck, to whoever does not look at its metrics."""
    if breaker.opened_at is None:
        log.info("a circuit breaker is closed again: runs of the flow start as usual", flow=flow)
    else:
        log.warning(
            "a circuit breaker has opened: too many runs of the flow failed, its events wait", flow=flow,
            threshold=breaker.threshold, window_ms=breaker.window_ms,
        )  # fmt: skip


def _now_ms() -> int:
    return int(time.monotonic() * 1_000)

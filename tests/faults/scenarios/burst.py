"""F22: ten thousand events as fast as they can be published, and a run that fans out to ten thousand tasks."""

from __future__ import annotations

from .. import flows
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, PUBLISHER, Shape, world

EVENTS, EVENTS_QUICK = 10_000, 1_000
PARALLEL = 1_000
DRAIN_S = 600
KEEPING_ALL = {"tests.faults.keeping.KEPT": 1 << 40}
"""Messages behind a snapshot: whoever records the evidence lags far behind the fleet, and must not miss what is purged."""


async def play(settings: Settings) -> Outcome:
    events = settings.count(EVENTS, EVENTS_QUICK)
    options, constants = {PUBLISHER: ("--open", str(events))}, {COORDINATOR: KEEPING_ALL}
    shape = Shape(rate=0, count=events, mix=(flows.CHAIN,), options=options, triggers=0, constants=constants)
    async with world(shape, settings.seed) as one:
        await one.deploy(flows.fan("f-wide", PARALLEL))
        one.ledger.fault("burst", f"{events} events")
        began_ns = one.now_ns()
        one.publish()
        one.ledger.fault("fan-out", f"{events} tasks")
        run = await one.client.send("f-wide", {"items": list(range(events))}, id="f-wide/0")
        one.ledger.acked("f-wide/0", run)
        await one.all_published(DRAIN_S)
        published_s = (one.now_ns() - began_ns) / 1e9
        outcome = await judge("burst", events, one, settle_s=DRAIN_S)
        drained_s = (max(end.at_ns for end in one.watcher.ends.values()) - began_ns) / 1e9
    executions = events * 4 + 1
    outcome.notes.append(
        f"published and acknowledged in {published_s:.1f} s ({events / published_s:,.0f}/s), drained after {drained_s:.1f} s "
        f"({executions / drained_s:,.0f} nodes/s)"
    )
    return outcome

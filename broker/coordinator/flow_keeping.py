"""Keeping flows in their state: what somebody has decided about a flow, done to its open runs.

Each owner looks at the runs of its partitions again and again, and writes the record that a run lacks:

    paused with its runs        PauseRequested for what is running
    paused so no more           ResumeRequested for what is paused because of it
    a drain's time is over      CancelRequested, once; after the grace period one that kills

There is no list of runs that could lack one, and nothing to hand over: the state of the flow is in FLOWS, that of its runs in the WAL, and
whoever owns a partition next comes to the same. A run that is told twice ignores it the second time. One that is told to pause by an owner
who was cut off, when its flow goes on again, is told so as soon as it pauses (`Partition.decide`).

Costs: nothing while nothing was ever decided. Else a look goes through the open runs of the partitions, and reads the state of those of the
flow; of a run that has not changed since, only once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol, TypeAlias

import structlog

from ...schemas.codec import encode_record
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import DRAINING, Drain, FlowState
from ...schemas.records import CancelRequested, PauseRequested, Record, ResumeRequested
from ..flow_states import holds_runs
from ..flows import Flows
from .open_run import OpenRun
from .outbox import Outbox
from .owner import Owner
from .partition import Partition

LOOK_S, LOOK_MAX_S = 0.25, 2.0
IDLE_SHARE = 10
"""A look that takes long, since very many runs are open, is followed by a pause of so many times its length, LOOK_MAX_S at most."""
TURN_RUNS = 50
"""Runs that are looked at before the loop serves others."""
WRITTEN_MAX, TAKEN_IN_S = 200, 5.0
"""Records that are written before a look waits until the partition has taken them in, and for how long at most."""
RESUMING_S = 30.0
"""How long runs are looked for that were paused with a flow which goes on. A run is told within one look; the rest is for take-overs in
between."""
AGAIN_MS = 5_000
"""A run that was told and did not change is told again after so long."""
NEVER = 1 << 62
Told: TypeAlias = tuple[int, str, int]
"""Of a run: its last record when it was looked at, what was asked of it, and until when that needs no other look, ms since the epoch."""
PAUSE, RESUME, CANCEL, KILL = "pause", "resume", "cancel", "kill"

log = structlog.get_logger("jetfleet.coordinator")


class Site(Protocol):
    """What it needs of the coordinator around it."""

    outbox: Outbox
    flows: Flows
    owners: dict[int, Owner]

    def holds(self, partition: int) -> bool: ...


async def keep_flow_states(site: Site) -> None:
    """Look as long as this is not cancelled, at every partition that this process owns."""
    keepers: dict[int, PartitionKeeper] = {}
    took_s = 0.0
    while True:
        await asyncio.sleep(min(max(LOOK_S, IDLE_SHARE * took_s), LOOK_MAX_S))
        if not site.flows.decided():
            continue
        began = time.monotonic()
        keepers = {number: keeper for number, keeper in keepers.items() if number in site.owners}
        for number, owner in list(site.owners.items()):
            if owner.partition is None or not owner.ready:
                continue
            keeper = keepers.get(number)
            if keeper is None or keeper.partition is not owner.partition:
                keeper = keepers[number] = PartitionKeeper(site, owner.partition)
            try:
                await keeper.look()
            except Exception:  # one partition must not keep the others from it
                log.exception("a defect of jetfleet: flows cannot be kept in their state; it is tried again", partition=number)
        took_s = time.monotonic() - began


class PartitionKeeper:
    """For one partition, in the hands of one owner."""

    def __init__(self, site: Site, partition: Partition) -> None:
        self.partition = partition
        self._site = site
        self._resuming: dict[str, tuple[int, float]] = {}
        """The sequence of the state by which a flow goes on, and until when its runs are looked for."""
        self._told: dict[str, Told] = {}
        self._written = 0

    async def look(self) -> None:
        """Tell every run what it lacks."""
        now_ms = time.time_ns() // 1_000_000
        states = {name: self._site.flows.state(name) for name in self._site.flows.decided() if self.partition.open_by_flow[name]}
        active = {name: state for name, state in states.items() if self._asks_something(state, now_ms)}
        told: dict[str, Told] = {}
        asked: dict[str, str] = {}
        """By digest."""
        for turn, (id, run) in enumerate(list(self.partition.runs.items()) if active else ()):
            if turn % TURN_RUNS == TURN_RUNS - 1:
                await asyncio.sleep(0)
            digest = run.plan.digest
            what = asked.get(digest)
            if what is None:
                state = active.get(run.plan.name)
                what = asked[digest] = "" if state is None else self._asked(state, digest, now_ms)
            if not what or id not in self.partition.runs:
                continue
            if self.partition.abandoned or not self._site.holds(self.partition.number):
                return
            told[id] = self._keep(id, run, what, active[run.plan.name], now_ms)
            if self._written >= WRITTEN_MAX:
                await self._taken_in(id, told[id][0])
        self._told = told

    def _keep(self, id: str, run: OpenRun, asked: str, state: FlowState, now_ms: int) -> Told:
        """Write what the run lacks."""
        before = self._told.get(id)
        if before is not None and before[0] == run.at and before[1] == asked and now_ms < before[2]:
            return before
        try:
            record = _lacking(id, run, asked, state, now_ms)
        except UnreadableRecord as error:  # a run that cannot be woken must not keep the others from it
            log.error("a run cannot be kept in the state of its flow", run=id, flow=state.flow, code=error.code, reason=str(error))
            record = None
        if record is None:
            return run.at, asked, NEVER
        self._site.outbox.wal(self.partition.number, encode_record(record))
        self._written += 1
        return run.at, asked, now_ms + AGAIN_MS

    def _asks_something(self, state: FlowState, now_ms: int) -> bool:
        return any(self._asked(state, digest, now_ms) for digest in ("", *state.versions))

    def _asked(self, state: FlowState, digest: str, now_ms: int) -> str:
        """What is asked of the runs of a version ("": of those that are not drained by themselves); "" for nothing."""
        over = overdue(state, self._versions_left(state), digest, now_ms)
        if over:
            return over
        if holds_runs(state):
            return PAUSE
        return RESUME if state.runs_at and self._is_resuming(state.flow) else ""

    def _versions_left(self, state: FlowState) -> Mapping[str, Drain]:
        """The versions that are drained by themselves, but for those that new runs begin with: one may have been made current again."""
        if not state.versions:
            return state.versions
        begun_with = {plan.digest for plan in self._site.flows.begun_with(state.flow)}
        return {digest: drain for digest, drain in state.versions.items() if digest not in begun_with}

    def _is_resuming(self, flow: str) -> bool:
        seq, now = self._site.flows.state_seq(flow), time.monotonic()
        known = self._resuming.get(flow)
        if known is None or known[0] != seq:
            known = self._resuming[flow] = seq, now + RESUMING_S
        return now < known[1]

    async def _taken_in(self, id: str, at: int) -> None:
        """Wait until a run has taken in what was written last: thousands of records at once would keep the loop from everything else."""
        self._written = 0
        deadline = time.monotonic() + TAKEN_IN_S
        runs = self.partition.runs
        while id in runs and runs[id].at == at and time.monotonic() < deadline:
            await asyncio.sleep(0.002)


def overdue(state: FlowState, versions: Mapping[str, Drain], digest: str, now_ms: int) -> str:
    """What the end of a drain asks of the runs of a version: cancel, kill, or "" while they have time. The stricter drain counts."""
    drains = [drain for drain in (state.drain if state.state == DRAINING else None, versions.get(digest)) if drain is not None]
    if any(now_ms >= drain.kill_at for drain in drains):
        return KILL
    return CANCEL if any(now_ms >= drain.cancel_at for drain in drains) else ""


def _lacking(id: str, run: OpenRun, asked: str, state: FlowState, now_ms: int) -> Record | None:
    """The record by which the run does what is asked of it; None if it does."""
    now = run.look()
    reason = f": {state.reason}" if state.reason else ""
    if asked == KILL:
        return CancelRequested(id, now_ms, f"it did not end in time while flow {state.flow} was drained{reason}", True)
    if now.status != "running":
        return None  # it is ending
    if asked == CANCEL:
        return CancelRequested(id, now_ms, f"it was still open when the time to drain flow {state.flow} was over{reason}")
    if asked == PAUSE and not now.paused:
        return PauseRequested(id, now_ms, f"flow {state.flow} is paused{reason}", True)
    return ResumeRequested(id, now_ms, True) if asked == RESUME and now.paused_with_flow else None

"""The coordinator process: what it is made of, and the order in which that starts and stops.

    connect → topology → flows → membership → leases (each gained partition gets an Owner) → intake → triggers

Guarantees: it holds nothing that another one cannot work out again. Stopped in order, it leaves every partition with a snapshot and
its lease free, so that the next owner begins at once; killed, it leaves what the WAL has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError
from ...schemas.plan.plan import Plan
from ...schemas.records import RunReopened
from ..api.unstarted import UNSTARTED
from ..client import BrokerError, Connection
from ..deployment import ensure, ensure_memory
from ..engine.gate import Gate
from ..fleet.leases import FAILED, RELEASED, Leases
from ..fleet.membership import COORDINATOR, Membership
from ..flows import Flows
from ..high_water import HighWater, WalWentBack
from ..observe.counters import CoordinatorCounters, TriggerCounters
from ..observe.tracing import OFF, Tracing
from ..tokens import Tokens
from ..topology import Topology
from .admission import Admission
from .far_timers import FarTimers
from .flow_keeping import keep_flow_states
from .gates import by_limit
from .intake import Intake
from .locality import Locality
from .object_keeping import keep_objects
from .outbox import Outbox
from .owner import Owner
from .reopening import Then, prepare
from .signal_intake import SignalIntake
from .stray_events import keep_strays
from .triggers import CoordinatorTriggers

RETRY_S = 1.0
FACTS_S = 0.5
UNSTARTED_TOLD = 100
"""Flows: a heartbeat stays small."""
LET_GO_S = 10.0
"""How long an orderly stop may take before what is left is simply dropped."""

log = structlog.get_logger("jetfleet.coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """`data`: the folder of the high-water mark; None: there is none, and a stream that went backwards is not noticed at start."""

    topology: Topology = field(default_factory=Topology)
    data: Path | None = None


class Coordinator:
    """One coordinator. `start`, then `stop`.

    `control` is a connection of its own for heartbeats and leases: on the other one they would wait behind megabytes of WAL, and
    a coordinator that is busy recovering would be taken for dead. `failed` is set when going on would be wrong, with the reason.
    """

    def __init__(
        self, connection: Connection, control: Connection, settings: CoordinatorSettings | None = None, tracing: Tracing = OFF
    ) -> None:
        self.connection = connection
        self.tracing = tracing
        self.failed: asyncio.Future[JetfleetError] = asyncio.get_running_loop().create_future()
        self.counters = CoordinatorCounters()
        self.trigger_counters = TriggerCounters(list)
        self.partitions = 0
        self.owners: dict[int, Owner] = {}
        self.flows = Flows(connection)
        self.admission = Admission(self._open_runs, self._coordinators, self._has_place)
        self._control = control
        self._settings = settings or CoordinatorSettings()
        self._high_water = None if self._settings.data is None else HighWater(self._settings.data, connection.url)
        self._epoch = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._with_room: set[str] = set()
        self._seen: dict[int, tuple[int, int]] = {}
        self._cuts = 0

    async def start(self) -> None:
        """Take part in the fleet. Raises JetfleetError if the servers are not fit for it."""
        deployed = await ensure(self.connection, self._settings.topology)
        self._deployed = deployed
        self.partitions = deployed.partitions
        if self._high_water is not None:
            await self._high_water.check(self.connection, self.partitions)
            await self._high_water.start()
        self.outbox = Outbox(self.connection, self.partitions)
        self.far_timers = FarTimers(self.connection, self.outbox.singles)
        self._epoch = await ensure_memory(self.connection, deployed)
        self.outbox.begin_epoch(self._epoch)
        await self.flows.start()
        self.flows.on_change.append(lambda name: self._spawn(self._flow_changed(name)))
        self.membership = Membership(self._control, COORDINATOR)
        await self.membership.start()
        self.locality = Locality(self.membership)
        self.tokens = Tokens(self.connection)
        await self.tokens.start()
        self.leases = Leases(self._control, self.membership, self.partitions, self._gained, self._lost_lease)
        self.leases.on_outdone = self._take_back_tasks
        self.outbox.may_send_tasks = lambda: self.leases.sound
        self.intake = Intake(self)
        self.signals = SignalIntake(self)
        self._show_gauges()
        await self.leases.start()
        await self.intake.start()
        await self.signals.start()
        self.triggers = CoordinatorTriggers(self.connection, self.partitions, self.flows, self._settings.data)
        self.trigger_counters.served = self.triggers.served
        await self.triggers.start()
        self._spawn(self._keep_facts())
        self._spawn(keep_objects(self.connection, self.partitions, lambda: self.leases.holds(0)))
        self._spawn(keep_strays(self, lambda: self.leases.holds(0)))
        self._spawn(keep_flow_states(self))
        self.connection.on_disconnect.append(self._disconnected)
        self.connection.on_reconnect.append(self._reconnected)

    async def stop(self) -> None:
        """Finish what is under way, leave snapshots, free the leases."""
        self._stopping = True
        self.connection.on_disconnect.remove(self._disconnected)
        self.connection.on_reconnect.remove(self._reconnected)
        await self.triggers.stop()
        await self.signals.stop()
        await self.intake.stop()
        await self.tokens.stop()
        with contextlib.suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(LET_GO_S):
                await self.leases.stop()
        await self.membership.stop()
        await self.flows.stop()
        for task in list(self._tasks):
            task.cancel()
        await self.outbox.close()
        if self._high_water is not None:
            await self._high_water.stop()

    @property
    def ready(self) -> str:
        """Why it is not ready yet; empty when it is."""
        if not self.connection.is_connected:
            return "not connected"
        if not self.owners and not self.membership.others(COORDINATOR):
            return "no partitions yet"
        closed = [number for number, owner in self.owners.items() if not owner.ready]
        return f"partitions {closed} are being recovered" if closed else ""

    # --- what partitions and intake ask for

    def holds(self, partition: int) -> bool:
        return self.leases.holds(partition)

    def run_begun(self, flow: str, run: str) -> None:
        self.admission.begun(flow, run)

    def run_ended(self, plan: Plan, run: str, status: str) -> None:
        self.admission.ended(plan, status)
        if not self._with_room:
            asyncio.get_running_loop().call_soon(self._wake)
        self._with_room.add(plan.name)

    def _wake(self) -> None:
        """There is room for more runs of some flows: once per turn of the loop, however many have ended in it."""
        flows, self._with_room = self._with_room, set()
        for flow in flows:
            self.intake.wake(flow)

    def start_collected(self, flow: str) -> None:
        for owner in self.owners.values():
            if owner.partition is not None:
                owner.partition.collections.go_on(flow)

    def plan_missing(self, partition: int, digest: str, then: Callable[[Plan | None], None]) -> None:
        self._spawn(self._fetch(partition, digest, then))

    def reopen(self, partition: int, record: RunReopened, then: Then) -> None:
        self._spawn(prepare(self.connection, self.flows, record, lambda: partition in self.owners, then))

    async def _fetch(self, partition: int, digest: str, then: Callable[[Plan | None], None]) -> None:
        while partition in self.owners:
            try:
                plan: Plan | None = await self.flows.fetch(digest)
            except BrokerError as error:
                log.warning("a plan cannot be fetched yet", partition=partition, digest=digest[:12], reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            except JetfleetError as error:
                log.error("a run cannot be followed: its plan is not to be had", partition=partition, digest=digest[:12], reason=str(error))
                plan = None
            then(plan)
            return

    def _open_runs(self, flow: str) -> int:
        partitions = [owner.partition for owner in self.owners.values() if owner.partition is not None]
        return sum(each.open_by_flow[flow] - each.queued.by_flow[flow] for each in partitions)

    def _has_place(self) -> bool:
        """Whether runs can be counted here: some partition is open. Else others, or nobody yet, may start them."""
        return any(owner.ready for owner in self.owners.values())

    def _coordinators(self) -> int:
        return 1 + len(self.membership.others(COORDINATOR))

    async def _keep_facts(self) -> None:
        while True:
            self.membership.facts.update(self._facts())
            self._note_positions()
            await asyncio.sleep(FACTS_S)

    def _facts(self) -> dict[str, Any]:
        return {
            "partitions": sorted(self.owners),
            "runs": sum(len(owner.partition.runs) for owner in self.owners.values() if owner.partition is not None),
            "closed": self.ready,
            "blocked": self.outbox.blocked_by,
            "held": self.intake.held(),
            UNSTARTED: self._unstarted(),
        } | self.triggers.facts()

    def _unstarted(self) -> dict[str, tuple[int, str]]:
        """Of some flows that start no runs, unless somebody decided so: how many of their events are in memory here, and why they wait."""
        waiting = {name: count for name, count in self.intake.waiting().items() if count}
        flows = islice(dict.fromkeys([*self.admission.open_breakers(), *waiting]), UNSTARTED_TOLD)
        plans = [plan for plan in map(self.flows.current, flows) if plan is not None]
        return {plan.name: (waiting.get(plan.name, 0), reason) for plan in plans if (reason := self.admission.closed_by(plan))}

    def _note_positions(self) -> None:
        """What was seen a round ago, while the server was there all the time: it shows messages a moment before they are on its disk."""
        if self._high_water is not None and self.connection.is_connected:
            for number, seen in self._seen.items():
                self._high_water.note(subjects.wal_stream(number), *seen)
            self._seen = {number: owner.seen for number, owner in self.owners.items()}

    def _show_gauges(self) -> None:
        """What metrics ask for, and nobody counts."""
        counters, owners = self.counters, self.owners
        counters.open_runs = lambda: {number: len(owner.partition.runs) for number, owner in owners.items() if owner.partition is not None}
        counters.snapshot_age_s = lambda: {number: time.monotonic() - owner.snapshotted_at for number, owner in owners.items()}
        counters.events_held = self.intake.waiting
        counters.events_collected = self._collected
        counters.admission_closed = self._closed_flows
        counters.effects_unacknowledged = lambda: self.outbox.backlog
        counters.slots_held = lambda: by_limit(self._gates(), lambda gate: gate.held)
        counters.slots_waiting = lambda: by_limit(self._gates(), lambda gate: gate.waiting)

    def _gates(self) -> list[Gate]:
        return [gate for owner in self.owners.values() if owner.partition is not None for gate in owner.partition.gates]

    def _collected(self) -> dict[str, float]:
        """By flow, how many events wait in collections here."""
        partitions = [owner.partition for owner in self.owners.values() if owner.partition is not None]
        counts: Counter[str] = Counter()
        for flow, collection in chain.from_iterable(partition.collections.waiting() for partition in partitions):
            counts[flow] += collection.count
        return dict(counts)

    def _closed_flows(self) -> dict[tuple[str, str], float]:
        plans = [plan for name in self.flows.names() if (plan := self.flows.current(name)) is not None]
        held = {(plan.name, self.flows.state(plan.name).state): 1.0 for plan in plans if self.flows.is_held(plan.name)}
        return held | {(plan.name, reason): 1.0 for plan in plans if (reason := self.admission.closed_by(plan))}

    # --- partitions come and go

    async def _gained(self, number: int) -> None:
        """A lease is ours. Take-over is tried until it works, or the lease is gone."""
        owner = self.owners[number] = Owner(self.connection, number, self, self.partition_lost)
        while self.owners.get(number) is owner:
            try:
                await owner.take_over(self._epoch)
                await owner.tasks_lost(self._epoch)  # another one may have begun meanwhile
                self._with_room.update(self.flows.names())
                self._wake()
                return
            except (JetfleetError, TimeoutError) as error:
                log.error("a partition cannot be taken over; it stays closed", partition=number, reason=str(error))
            await owner.let_go(orderly=False)
            await asyncio.sleep(RETRY_S)
            if self.owners.get(number) is owner:
                owner = self.owners[number] = Owner(self.connection, number, self, self.partition_lost)

    def _take_back_tasks(self, lost: int) -> None:
        """Somebody acts for the partition, or is about to. Tasks travel together, so those of other partitions are given out once more."""
        self.outbox.drop_tasks()
        for number in list(self.owners):
            if number != lost and self.leases.holds(number):
                self.partition_lost(number, f"its tasks were taken back when partition {lost} was lost")

    async def _lost_lease(self, number: int, reason: str) -> None:
        owner = self.owners.pop(number, None)
        if owner is not None:
            log.info("lets go of a partition", partition=number, reason=reason)
            # What the server has lost is still in this state: a snapshot would be of a log that nobody has.
            await owner.let_go(orderly=reason == RELEASED and not self.failed.done())
        if reason in (RELEASED, FAILED) and (owner is None or owner.has_tasks_under_way):
            self._take_back_tasks(number)  # the lease is about to be free: nothing may follow
        self.admission.forget_coming()

    def partition_lost(self, number: int, reason: str) -> None:
        """The owner itself found out: give the lease back, and take the partition over anew if nobody else does."""
        self._spawn(self._begin_again(number, reason))

    async def _begin_again(self, number: int, reason: str) -> None:
        owner = self.owners.pop(number, None)
        if owner is None:
            return
        log.warning("a partition is begun again", partition=number, reason=reason)
        await owner.let_go(orderly=False)
        await asyncio.sleep(RETRY_S)
        if not self._stopping and self.leases.holds(number) and number not in self.owners:
            await self._gained(number)

    # --- when the server comes back

    def _disconnected(self) -> None:
        self._seen.clear()
        self._cuts += 1
        self.outbox.hold_tasks()

    async def _reconnected(self) -> None:
        """The server may be a new one, with an empty memory."""
        self._spawn(self._check_epoch())

    async def _check_epoch(self) -> None:
        while not self._stopping:
            cuts = self._cuts
            try:
                if self._high_water is not None:
                    await self._high_water.check(self.connection, self.partitions)
                self._epoch = await ensure_memory(self.connection, self._deployed)
                if cuts != self._cuts:
                    continue  # the server that said so may be gone by now
                self.outbox.begin_epoch(self._epoch)
                for owner in list(self.owners.values()):
                    await owner.tasks_lost(self._epoch)
                    await asyncio.sleep(0)  # of all partitions in one go it would cost heartbeats
                return
            except WalWentBack as error:
                log.critical("the server has lost what it had acknowledged; this coordinator stops", reason=str(error))
                if not self.failed.done():
                    self.failed.set_result(error)
                return
            except JetfleetError as error:  # not only the client's: until this works no task leaves
                log.warning("the server's memory cannot be checked yet", reason=str(error))
                await asyncio.sleep(RETRY_S / 4)

    async def _flow_changed(self, name: str) -> None:
        while not self._stopping:
            try:
                await self.intake.flows_changed(name)
                self.intake.wake(name)
                return
            except BrokerError as error:
                log.warning("a flow cannot be followed yet", flow=name, reason=str(error))
                await asyncio.sleep(RETRY_S)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

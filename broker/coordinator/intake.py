"""Intake: events become runs.

One pull per deployed flow, so that a flow that is full keeps no other one waiting. It asks for no more events than there is room for
(admission.py); an event is acknowledged when the RunStarted of each of its runs is on disk, or it has been put with the dead letters,
with the reason. An event whose ack is lost comes again, and starts the same run again, which changes nothing.

Events of a paused trigger, or a paused flow, stay where they are (paused_events.py), and what has been taken when it is paused is given
back. Where others of its message have begun, it is published anew without them: a pause may outlast the time for which runs that
ended are known, and then they would begin again. Those of a disabled trigger are put with the dead letters.

Where a flow collects events (`settings.debounce`, `settings.batch`), an event goes to its collector instead: collections.py.

Also moves what far timers fired from TIMERS into the WAL.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from ...schemas import messages, subjects
from ...schemas.codec import encode_record
from ...schemas.errors import EventRejected, JetfleetError, UnreadableRecord
from ...schemas.messages import DISABLED, PAUSED
from ...schemas.plan.collecting import key_of
from ...schemas.plan.plan import Plan
from ...schemas.records import EventCollected
from ..client import BrokerError, Connection, Message, Pull
from ..content import UnreadableEvent
from ..deployment import ensure_flow_consumer, part_flow_consumer
from ..flows import Flows
from ..observe.counters import CoordinatorCounters
from ..topology import flow_consumer
from .admission import Admission
from .events import Event, UnknownTrigger, letter_of, only, read_events, start_of, trigger_of, version_of
from .outbox import Outbox
from .paused_events import consumers, decisions

PULL_MAX = 256
"""Messages asked for at a time and flow."""
HELD_EVERY_S = 0.6
"""How often the server is told that events in memory are not forgotten; a third of their `ack_wait`, which is short: the events that a
dead coordinator had taken come to another one when it is over."""
PAUSED_S, PAUSED_MAX_S = 1, 30
"""After so long an event comes again that was under way when its trigger was paused, each time after twice as long."""
NO_PLACE_S = 0.25
"""The same for one that was taken by a coordinator that has no partition any more. It asks for no events then, so others get it."""
PART_S = 5.0
"""For the events that are to wait to be stored without the others of their message."""
AGAIN_S = 1.0

log = structlog.get_logger("jetfleet.coordinator")


class Site(Protocol):
    """What intake needs of the coordinator around it."""

    connection: Connection
    partitions: int
    outbox: Outbox
    flows: Flows
    counters: CoordinatorCounters
    admission: Admission

    def holds(self, partition: int) -> bool: ...

    def start_collected(self, flow: str) -> None:
        """Start the runs of the flow's collections that have waited for room."""


class EventReceipt:
    """Acknowledges an event's message when everything that came of it is on disk. What was refused or cut off comes again."""

    __slots__ = ("_intake", "events", "failed", "left", "message", "paused", "soon")

    def __init__(self, intake: FlowIntake, message: Message) -> None:
        self._intake = intake
        self.message = message
        self.left = 1
        self.failed = False
        self.events = 0
        self.paused: list[str] = []
        """Keys of its events that are to wait, because somebody has paused their trigger or nothing can be started here."""
        self.soon = False
        """Whether they wait for no decision, but for a coordinator that has a place for them."""

    def settled(self, count: int, error: BrokerError | None) -> None:
        self.left -= count
        self.failed = self.failed or error is not None
        if not self.left:
            self._intake.done(self)


class FlowIntake:
    """The events of one flow."""

    def __init__(self, site: Site, flow: str) -> None:
        self.flow = flow
        self._site = site
        self._waiting: deque[tuple[EventReceipt, Event]] = deque()
        self._inside: dict[EventReceipt, None] = {}
        self._acking: set[asyncio.Task[None]] = set()
        self._pulls: dict[str, Pull] = {}
        """By trigger; "": of the flow's own consumer."""
        self._known: set[str] = set()
        """Those that were made sure of."""
        self._fitting = asyncio.Lock()
        self._stopped = False

    async def fit(self) -> None:
        """Take the events of all triggers that are not paused, and of no other. Raises BrokerError."""
        async with self._fitting:
            if self._stopped:
                return
            wanted = dict(consumers(self._site.flows, self.flow))
            if not wanted.keys() <= self._known:
                await self._repair()
            for trigger in [trigger for trigger in self._pulls if not wanted.get(trigger)]:
                await self._pulls.pop(trigger).stop()
            for trigger in [trigger for trigger, asked in wanted.items() if asked and trigger not in self._pulls]:
                name = flow_consumer(self.flow, trigger)
                pull = Pull(self._site.connection, subjects.EVENTS, name, self._take, room=self._room, repair=self._repair)
                await pull.start()
                self._pulls[trigger] = pull

    async def stop(self) -> None:
        self._stopped = True
        async with self._fitting:
            for pull in self._pulls.values():
                await pull.stop()
            self._pulls = {}
        self._waiting.clear()

    def wake(self) -> None:
        """There may be room again."""
        self._site.start_collected(self.flow)
        self._admit()
        if not self._waiting:
            for pull in self._pulls.values():
                pull.wake()

    def done(self, receipt: EventReceipt) -> None:
        self._inside.pop(receipt, None)
        if receipt.paused and (receipt.failed or len(receipt.paused) == receipt.events):
            self._spawn(_later(receipt.message, receipt.soon))
        elif receipt.paused:
            self._spawn(self._part(receipt))
        elif not receipt.failed:
            self._spawn(self._let_go(receipt.message))

    async def hold(self) -> None:
        """Tell the server that the messages in memory are being worked on. Without a partition nobody works on what waits: others may."""
        if self._waiting and not self._site.admission.has_place:
            self._give_back(soon=True)
        for receipt in list(self._inside):
            await receipt.message.in_progress()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def is_quiet(self) -> bool:
        """Whether no event is asked for, and none is on its way to becoming a run."""
        return not self._pulls and not self._inside

    def _room(self) -> int:
        plan = self._site.flows.current(self.flow)
        if plan is None or self._waiting or self._site.flows.is_held(self.flow):
            return 0
        room = self._site.admission.room(plan)
        return PULL_MAX if plan.collecting is not None and room > 0 else max(0, min(PULL_MAX, room))

    def _take(self, message: Message) -> None:
        self._site.counters.events_taken += 1
        receipt = EventReceipt(self, message)
        self._inside[receipt] = None
        try:
            for event in read_events(message, self.flow):
                receipt.left += 1
                receipt.events += 1
                self._waiting.append((receipt, event))
        except UnreadableEvent as error:
            self._bury(receipt, error)
        receipt.settled(1, None)
        self._admit()

    def _admit(self) -> None:
        """Start runs for the events in memory, as far as there is room."""
        plan = self._site.flows.current(self.flow)
        if plan is None or not self._waiting:
            return
        if self._site.flows.is_held(self.flow):
            self._give_back()
            return
        room = self._site.admission.room(plan)
        decided = decisions(self._site.flows, plan)
        now = time.time_ns() // 1_000_000
        while self._waiting and room > 0:
            receipt, event = self._waiting.popleft()
            if not decided or self._may_start(plan, decided, receipt, event):
                room -= self._start(plan, receipt, event, now)

    def _may_start(self, plan: Plan, decided: dict[str, str], receipt: EventReceipt, event: Event) -> bool:
        """False: somebody has decided otherwise, and the event was given back or put with the dead letters."""
        try:
            state = decided.get(trigger_of(event, plan) or "")
        except UnknownTrigger:
            return True  # which is said where it would be started
        if state == DISABLED:
            self._bury(
                receipt, UnknownTrigger(f"trigger {event.trigger!r} of flow {plan.name!r} was disabled: enable it, and send this again")
            )
        if state == PAUSED:
            receipt.paused.append(event.key)
        if state is not None:
            receipt.settled(1, None)
        return state is None

    def _give_back(self, soon: bool = False) -> None:
        """Let the events in memory wait on the server: somebody has paused the flow, or drains it; `soon`: no run can be started here."""
        waiting, self._waiting = self._waiting, deque()
        for receipt, event in waiting:
            receipt.soon = soon
            receipt.paused.append(event.key)
            receipt.settled(1, None)

    async def _part(self, receipt: EventReceipt) -> None:
        """Let those events of a message wait on the server that are to wait, without those that are dealt with."""
        message = receipt.message
        try:
            data, headers = only(message, receipt.paused)
            await self._site.connection.publisher.publish(message.subject, data, headers=headers, deadline_s=PART_S)
        except BrokerError:
            await _later(message, receipt.soon)
        else:
            await self._let_go(message)

    async def _let_go(self, message: Message) -> None:
        """Acknowledge it. What came by the flow's own consumer before its triggers had theirs is kept by the server for those, and would
        come again when the trigger is resumed: so it is deleted."""
        await message.ack()
        if len(self._known) > 1 and message.subject != subjects.event(self.flow) and message.consumer == flow_consumer(self.flow):
            with contextlib.suppress(BrokerError):  # then it comes again, as the same runs
                await self._site.connection.streams.delete_message(subjects.EVENTS, message.stream_seq)

    def _start(self, plan: Plan, receipt: EventReceipt, event: Event, now: int) -> bool:
        """Start the run of an event. False: none begins now, for it is collected, or was put with the dead letters."""
        site = self._site
        try:
            version = version_of(event, site.flows, plan)
            record = start_of(event, version, now)
            collector = None if version.collecting is None else subjects.collector(plan.name, key_of(version, record))
        except Exception as error:  # a defect too must leave the events behind it alone
            if not isinstance(error, JetfleetError):
                log.exception("a defect of jetfleet: an event cannot be started", flow=plan.name, seq=receipt.message.stream_seq)
            self._bury(receipt, error if isinstance(error, JetfleetError) else EventRejected(f"a defect of jetfleet: {error!r}"))
            receipt.settled(1, None)
            return False
        if collector is not None:  # the run begins when there is no more to come: collections.py
            collected = EventCollected(collector, now, record)
            site.outbox.wal(subjects.partition_of(collector, site.partitions), encode_record(collected), receipt)
            return False
        partition = subjects.partition_of(record.run, site.partitions)
        site.admission.started(plan, record.run, site.holds(partition))
        site.outbox.wal(partition, encode_record(record), receipt)
        return True

    def _bury(self, receipt: EventReceipt, error: JetfleetError) -> None:
        """Keep an event that no run can be made of with the dead letters, and only then let it go."""
        message = receipt.message
        self._site.counters.dead_letters += 1
        log.warning(
            "an event is put with the dead letters", subject=message.subject, seq=message.stream_seq, code=error.code, reason=str(error)
        )
        receipt.left += 1
        letter = letter_of(message.subject, message.stream_seq, message.data, message.headers, error)
        self._site.outbox.dead(letter, lambda: receipt.settled(1, None))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._acking.add(task)
        task.add_done_callback(self._acking.discard)

    async def _repair(self) -> None:
        """Make the consumers that there should be."""
        triggers = [trigger for trigger, _ in consumers(self._site.flows, self.flow) if trigger]
        if triggers:
            await part_flow_consumer(self._site.connection, self.flow, triggers)
        else:
            await ensure_flow_consumer(self._site.connection, self.flow)
        self._known = {"", *triggers}


async def _later(message: Message, soon: bool) -> None:
    await message.nak(NO_PLACE_S if soon else min(PAUSED_S << min(message.delivered - 1, 10), PAUSED_MAX_S))


class Intake:
    """The events of all flows, and the far timers that fired."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._flows: dict[str, FlowIntake] = {}
        self._fired = Pull(site.connection, subjects.TIMERS, "fired", self._take_fired, room=lambda: PULL_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        await self._fired.start()
        try:
            await self.flows_changed()
        except BrokerError:
            self._spawn(self._follow_the_rest())
        self._spawn(self._hold())

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._fired.stop()
        for flow in list(self._flows.values()):
            await flow.stop()

    async def flows_changed(self, only: str | None = None) -> None:
        """Follow the flows that are deployed now. Raises BrokerError if one of them cannot be: all others are, then.

        `only`: the one that has changed. None: any of them may have.
        """
        failed: BrokerError | None = None
        async with self._changing:
            deployed = set(self._site.flows.names())
            for name in deployed - set(self._flows):
                self._flows[name] = FlowIntake(self._site, name)
            for name in set(self._flows) - deployed:
                await self._flows.pop(name).stop()
            changed = self._flows.values() if only is None else filter(None, [self._flows.get(only)])
            for flow in list(changed):
                try:
                    await flow.fit()
                except BrokerError as error:
                    log.warning("the events of a flow cannot be taken yet", flow=flow.flow, code=error.code, reason=str(error))
                    failed = error
        if failed is not None:
            raise failed

    async def _follow_the_rest(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(BrokerError):
                return await self.flows_changed()

    def wake(self, flow: str) -> None:
        intake = self._flows.get(flow)
        if intake is not None:
            intake.wake()

    def held(self) -> dict[str, int]:
        """The flows that start no run by decision, and of which no event is under way here; with the sequence of that decision."""
        flows = self._site.flows
        held = [name for name in flows.decided() if flows.is_held(name)]
        return {name: flows.state_seq(name) for name in held if name not in self._flows or self._flows[name].is_quiet}

    def waiting(self) -> dict[str, int]:
        """Events in memory that wait for room, by flow."""
        return {name: flow.waiting for name, flow in self._flows.items()}

    def _take_fired(self, message: Message) -> None:
        self._spawn(self._move(message))

    async def _move(self, message: Message) -> None:
        """Append what a timer fired to the WAL, then forget it."""
        partition = subjects.partition_in(message.subject, self._site.partitions)
        if partition is not None:
            await self._append(partition, message)
        await message.ack()

    async def _append(self, partition: int, message: Message) -> None:
        try:
            entries = messages.split(message.data)
        except UnreadableRecord as error:
            log.warning("a timer fired something that cannot be read", subject=message.subject, reason=str(error))
            return
        done = asyncio.get_running_loop().create_future()
        receipt = Countdown(len(entries), done)
        for entry in entries:
            self._site.outbox.wal(partition, bytes(entry), receipt)
        await done

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(HELD_EVERY_S)
            for flow in list(self._flows.values()):
                await flow.hold()
                flow.wake()  # a breaker may have come to its end

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Countdown:
    """A receipt that resolves a future when `count` entries are settled."""

    __slots__ = ("_count", "_done")

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self._count, self._done = count, done
        if not count:
            done.set_result(None)

    def settled(self, count: int, error: BrokerError | None) -> None:
        self._count -= count
        if not self._count and not self._done.done():
            self._done.set_result(None)

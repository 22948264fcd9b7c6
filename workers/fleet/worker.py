"""The worker: takes tasks from its queues, executes them, and records what came of them. The wiring of one process.

    start ──▶ pulling ──quiet──▶ finishing what it has ──stop──▶ gone

It keeps nothing that matters: whatever it has in work when it dies is given to another one. The order of `stop` is the reason
why a planned end loses no time either: take no more, finish, give the rest back, then say goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

import structlog

from ...broker.client import BrokerError, Connection, Denied, Message, NotFound, Pull
from ...broker.deployment import Deployed, ensure_memory, ensure_queue, joined
from ...broker.fleet.membership import WORKER, Membership
from ...broker.flows import Flows
from ...broker.objects.opening import open_store
from ...broker.observe.arena_gauges import ArenaGauges
from ...broker.observe.counters import WorkerCounters
from ...broker.observe.tracing import OFF, Tracing
from ...broker.payloads.holder import Holder
from ...broker.payloads.plane import Plane
from ...broker.payloads.remote import Holders
from ...broker.payloads.run_states import RunStates
from ...broker.topology import queue_consumer
from ...schemas import subjects
from ...schemas.messages import Member
from ..executor import Executor
from ..providers import Services
from ..registry import Registry
from ..slots import Slots
from .arena_keeping import keep
from .attempts import Attempts
from .completions import Completions
from .elsewhere import Elsewhere
from .heartbeat import Heartbeat
from .ledger import Ledger
from .processor import Processor
from .settings import PREFETCH, PREFETCH_ATTEMPT_MAX_US, STOP_DEADLINE_S, UNACKNOWLEDGED_MAX, WorkerSettings
from .traced import Traced

ANYWHERE = ""
"""Instead of a host: tasks that are near no arena."""
GOODBYE_S = 2.0
"""For giving back and for what is still on its way to the log, after the deadline of `stop`."""
FACTS_S = 1.0
"""How often what this worker says of itself is brought up to date."""
WAITERS_TOLD = 50
"""Runs that wait for room in the arena: facts are small."""
EPOCH_RETRY_S = 0.25


class Worker:
    """One worker on a connection that is the caller's. `services` are what node code reaches; a default one if None."""

    def __init__(
        self, connection: Connection, settings: WorkerSettings, registry: Registry, services: Services | None = None, tracing: Tracing = OFF
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.membership = Membership(connection, WORKER)
        self.flows = Flows(connection)
        self.plane = Plane(settings.arena_settings)
        self.arena_gauges = ArenaGauges(self.plane)
        self.executor = Executor(registry, services, worker=self.membership.id, processes=settings.processes, plane=self.plane)
        self.slots = Slots(settings.concurrency, contextvars.copy_context().copy, self._wake)
        self.counters = WorkerCounters()
        self._traced = Traced(self.executor, tracing)
        self._connection = connection
        self.host: str | None = None
        """The id of this host's arena: tasks near it come to its workers first. None: there is none, so nothing is near."""
        self._pulls: list[Pull] = []
        self._elsewhere: Elsewhere | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._quiet = False
        self._idle = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self.ledger: Ledger
        self.processor: Processor
        self.completions: Completions
        self._deployed: Deployed
        self._holders: Holders

    @property
    def id(self) -> str:
        return self.membership.id

    @property
    def pulling(self) -> bool:
        return bool(self._pulls) and not self._quiet

    async def start(self) -> None:
        """Join the fleet and begin to take tasks. Raises LedgerError, SlotTaken, BrokerError; then nothing is left behind."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def quiet(self) -> None:
        """Take no more tasks. What is in work goes on."""
        self._quiet = True
        for pull in self._pulls:
            await pull.stop()
        if self._elsewhere is not None:
            await self._elsewhere.stop()

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Finish what is in work, by the deadline; give back the rest; leave."""
        await self.quiet()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self.idle()
        left = await self.processor.abandon(GOODBYE_S)
        if left:
            _log().warning("stopped with tasks in work: they were given back", messages=left)
        await self._stack.aclose()

    async def idle(self) -> None:
        """Returns when nothing is in work."""
        while self.processor.units:
            self._idle.clear()
            await self._idle.wait()

    async def _start(self) -> None:
        self._deployed = await joined(self._connection)
        await self._open_plane()
        self.ledger = Ledger(self.settings.data, self.settings.slot)
        self._stack.callback(self.ledger.close)
        self.completions = Completions(self._connection.publisher, self._deployed.partitions, self.executor, self.counters)
        self._stack.push_async_callback(self._end_completions)
        self._stack.push_async_callback(self.executor.close)
        self._stack.push_async_callback(self.slots.close)
        self.executor.expect_processes()
        attempts = Attempts(self._traced, self.slots)
        self.processor = Processor(
            self._connection, self.flows, self._traced, attempts, self.completions, self.ledger, self._deployed.partitions,
            self.settings.max_deliveries, self.counters, self._wake,
        )  # fmt: skip
        self._stack.push_async_callback(self.processor.give_back.close)
        self.counters.slots = lambda: self.settings.concurrency
        self.counters.tasks_in_flight = lambda: self.processor.load
        self.counters.completions_unacknowledged = lambda: self.completions.backlog
        await self.flows.start()
        self._stack.push_async_callback(self.flows.stop)
        cancels = await self._connection.subscribe(subjects.CANCEL, self.processor.called_off)
        self._stack.push_async_callback(cancels.stop)
        await self._give_back_left()
        await self._stand_near_arena()
        ack_wait_s = min([await self._ensure_queue(queue, host) for queue in self.settings.queues for host in self._hosts])
        self.membership.facts.update(self._facts())  # not before: what is announced is sent to
        self.membership.on_gone.append(self._member_gone)
        await self.membership.start()
        self._stack.push_async_callback(self.membership.stop)
        self._stack.push_async_callback(self._end_tasks)
        self.processor.epoch = await ensure_memory(self._connection, self._deployed)
        self._connection.on_reconnect.append(self._reconnected)
        self._stack.callback(self._connection.on_reconnect.remove, self._reconnected)
        heartbeat = Heartbeat(self.processor.units.keys(), ack_wait_s)
        self.processor.lane.overslept, self.processor.in_aftermath = heartbeat.overslept, heartbeat.in_aftermath
        self._spawn(heartbeat.run())
        self._spawn(self._keep_facts())
        self._spawn(keep(self.settings.arena_settings, self.host or "", RunStates(self._connection, self._deployed.partitions)))
        await self.processor.doubt.start()
        self._stack.push_async_callback(self.processor.doubt.stop)
        self._stack.push_async_callback(self.quiet)
        for queue, host in [(queue, host) for queue in self.settings.queues for host in self._hosts]:
            room, consumer = self._room_near if host else self._room, queue_consumer(queue, host)
            pull = Pull(self._connection, subjects.TASKS, consumer, self._take, room=room, repair=self._repair, fresh=True)
            await pull.start()
            self._pulls.append(pull)
        self._elsewhere = Elsewhere(self._connection, self.membership, self.settings.queues, self.host or ANYWHERE, self._take, self._room)
        await self._elsewhere.start()

    @property
    def _hosts(self) -> tuple[str, ...]:
        """Where it takes tasks from: those near its own arena, and those that are anybody's."""
        return (self.host, ANYWHERE) if self.host else (ANYWHERE,)

    async def _open_plane(self) -> None:
        """The arena of this host, and the ways to other hosts. Raises ArenaUnusable, UsageError, BrokerError."""
        arena = self.plane.arena
        assert arena is not None
        arena.must_be_writable()
        self.host = arena.host
        loop = asyncio.get_running_loop()
        self.plane.waiters.on_change = lambda: _tell(loop, self._room_changed)
        self.plane.ways.objects = open_store(self._connection)
        self.plane.ways.remote = self._holders = Holders(self._connection)
        holder = Holder(self._connection, self.plane)
        await holder.start()
        self._stack.push_async_callback(holder.stop)

    async def _stand_near_arena(self) -> None:
        """Whose user may not take what is near this arena takes what is anybody's, and announces no arena."""
        try:
            for queue in self.settings.queues if self.host else ():
                await self._ensure_queue(queue, self.host or ANYWHERE)
        except Denied as error:
            _log().info("takes no tasks near its arena, for it may not", arena=self.host, subject=error.subject)
            self.host = None

    # --- room

    def _take(self, message: Message) -> None:
        """Each place that tasks come from is asked for as much as there is room for, so together they may give too much. What others could
        do sooner goes back at once; where attempts are short, waiting for one here costs less."""
        if self._is_slow and self._slots_left() <= 0:
            self.processor.decline(message)
        else:
            self.processor.take(message)

    @property
    def _is_slow(self) -> bool:
        """Whether attempts are known to take long."""
        return PREFETCH_ATTEMPT_MAX_US < self.processor.attempts.mean_us < float("inf")

    def _slots_left(self) -> int:
        """Slots that nobody has or is about to want."""
        return self.slots.total - self.processor.attempts.load - self.processor.asking

    def _room(self) -> int:
        """How many messages more may come from anywhere. While somebody waits for room in the arena one at a time: it may be a step of a
        run that gives its room back when it is done, or one more that wants some.
        """
        waiting = self.plane.waiters.count
        if not waiting:
            return self._room_near()
        return min(self._room_near(), 1) if self.processor.load <= waiting < self.settings.concurrency else 0

    def _room_near(self) -> int:
        """How many messages more may come with tasks near the arena: one per free slot, as long as the log keeps up.

        These come also while somebody waits for room there: they work with what takes it, and when their runs have ended there is some.
        """
        if self._quiet or len(self.processor.units) >= UNACKNOWLEDGED_MAX:
            return 0
        ahead = PREFETCH if self.processor.attempts.mean_us <= PREFETCH_ATTEMPT_MAX_US else 0
        room = self.slots.total - self.processor.load + ahead
        return max(min(room, self._slots_left()) if self._is_slow else room, 0)

    def _room_changed(self) -> None:
        """Somebody has begun or ceased to wait for room in the arena. Who waits does nothing, so others may have the slot meanwhile."""
        self.slots.resize(self.settings.concurrency + self.plane.waiters.count)
        self._wake()

    def _wake(self) -> None:
        if not self.processor.units:
            self._idle.set()
        self._pulls = self._pulls[1:] + self._pulls[:1]  # whoever asks first is served first, so they take turns
        for pull in self._pulls:
            pull.wake()

    async def _ensure_queue(self, queue: str, host: str) -> float:
        """Make the consumer of the queue's tasks near the host if it is missing; its `ack_wait` in seconds."""
        while True:
            try:
                await ensure_queue(self._connection, queue, host)
                info = await self._connection.streams.consumer_info(subjects.TASKS, queue_consumer(queue, host))
            except NotFound:  # the server was restarted a moment ago, and has forgotten the stream
                await ensure_memory(self._connection, self._deployed)
            else:
                return float(info["config"]["ack_wait"]) / 1e9 if info else 10.0

    async def _repair(self) -> None:
        """A restarted server has forgotten what it had in memory."""
        self.processor.epoch = await ensure_memory(self._connection, self._deployed, self.settings.queues, self.host or ANYWHERE)
        await self.processor.doubt.begin()

    def _reconnected(self) -> None:
        """The server may have a new memory: until its epoch is known, every task may be a repetition."""
        self.processor.epoch = ""
        self._spawn(self._learn_epoch())

    async def _learn_epoch(self) -> None:
        while not self.processor.epoch:
            try:
                self.processor.epoch = await ensure_memory(self._connection, self._deployed)
            except BrokerError as error:
                _log().debug("the epoch of the tasks is not known yet", error=str(error))
                await asyncio.sleep(EPOCH_RETRY_S)

    # --- what dead workers left

    async def _give_back_left(self) -> None:
        """What my predecessor in this slot had in work, and what other dead workers of this machine had."""
        try:
            count = await self.processor.give_back.left(self.ledger.left)
        except BrokerError as error:
            _log().warning("cannot give back what my predecessor had in work", error=str(error))
        else:
            if count:
                _log().info("gave back what my predecessor had in work", slot=self.ledger.slot, messages=count)
        self.ledger.given_back()  # what could not be comes again after ack_wait
        await self.processor.give_back.left_in(self.settings.data)

    def _member_gone(self, member: Member) -> None:
        if member.role == WORKER and not member.leaving:
            self._spawn(self.processor.give_back.left_in(self.settings.data))

    # --- presence

    async def _keep_facts(self) -> None:
        while True:
            await asyncio.sleep(FACTS_S)
            self.membership.facts.update(self._facts())

    def _facts(self) -> dict[str, Any]:
        """What coordinators and people want to know: which tasks it takes, and how busy it is."""
        return {
            "queues": list(self.settings.queues),
            "types": self.registry.names(),
            "arena": self.host or ANYWHERE,
            "arena_full": self.arena_gauges.told(),
            "silent_hosts": self._holders.silent(),
            "waits_for_room": self.plane.waiters.runs()[:WAITERS_TOLD],
            "slots": self.settings.concurrency,
            "busy": min(self.processor.load, self.settings.concurrency),
            "in_work": len(self.processor.units),
            "executed": sum(queue.completed + queue.failed for queue in self.counters.queues.values()),
            "redeliveries": self.counters.redeliveries,
            "unrecorded": self.completions.backlog,
            "slot": self.ledger.slot,
        }

    # --- ends

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_completions(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self.completions.drained()
        await self.completions.close()


def _tell(loop: asyncio.AbstractEventLoop, listener: Callable[[], None]) -> None:
    """Have the listener called in the loop, from any thread. One that was abandoned may outlive the loop: then nobody needs to know."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(listener)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("jetfleet.worker")
    return logger

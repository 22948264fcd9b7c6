"""A world: one seed's fleet, its load, its troubles, and the judgement on what came of it.

    calm      the server, flows deployed, everybody up
    load      events, answers, steering; faults, as the seed has it
    healed    no faults any more: within a bounded (virtual) time every run must have ended, and nothing may be left lying anywhere
    judged    the invariants over the evidence, the oracle over the ends

Guarantees: with the same seed, the same world, down to the last message (`digest`).
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from random import Random

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.partition import Partition
from jetfleet.broker.definitions import define
from jetfleet.broker.deployment import ensure
from jetfleet.broker.engine import Run, blocked_on
from jetfleet.broker.topology import Topology
from jetfleet.broker.versions import deploy
from jetfleet.schemas import subjects
from jetfleet.schemas.flow.definition import Flow
from jetfleet.workers import Registry

from ..evidence import Evidence
from ..invariants import cancelling, judge
from ..ledger import Ledger
from ..recorder import Recorder
from . import clock, oracle
from .actors import URL, Actor, CoordinatorActor, WorkerActor, supervise
from .judgement import Judgement
from .lines import Lines
from .load import PublisherActor, UserActor, make_orders
from .loop import VirtualLoop
from .machines import Machines
from .monkey import Monkey
from .nodes import registry
from .programs import VALUES, child_flow, make_flows
from .sayings import sayings

STORE_BYTES = 1 << 30
LOOK_S = 0.5
READY_S, LIVENESS_S, QUIET_S = 30.0, 90.0, 45.0
"""How long the fleet may take to be up; to have ended all runs when nothing goes wrong any more, besides what flows wait on purpose; and to
have nothing left lying anywhere after that."""
BEGINS_S, BEGINS_LATE_S = cancelling.UNDER_WAY_S, 20.0
"""How long after a cancellation something may begin that was given out before; among those who are stopped for up to 9 s, and servers too."""
HOSTS = ("mars", "venus")
FAR_MS = 60_000
"""A timer that is due so late was set by a clock that was wrong: no flow here waits so long."""


class Shape:
    """What the seed makes of a world, drawn in one go, so that a change further down draws nothing else here.

    `small`: less of everything but of what can go wrong, so that there is time for more seeds.
    """

    def __init__(self, seed: int, small: bool) -> None:
        chance = Random(f"shape {seed}")
        self.partitions = chance.choice((1, 2, 2, 3))
        self.coordinators = chance.choice((1, 2, 2) if small else (1, 2, 3))
        self.workers, self.publishers = chance.randint(1, 2 if small else 3), chance.randint(1, 2)
        self.hosts = HOSTS[: chance.randint(1, 2)]
        self.slots = chance.choice((2, 8, 64))
        self.load_s = chance.choice((1.0, 2.0) if small else (3.0, 8.0, 15.0))
        self.flows = make_flows(chance, chance.randint(1, 1 if small else 3))
        self.orders = make_orders(chance, self.flows, chance.randint(3, 8) if small else chance.randint(5, 30), self.load_s, VALUES)
        self.slowness = chance.choice((0.0, 0.2, 1.0))
        self.host_of = [chance.choice(self.hosts) for _ in range(8)]

    @property
    def waits_s(self) -> float:
        """The longest that flows wait on purpose."""
        return max(flow.waits_s for flow in self.flows) * 4


class World:
    """One seed's. `live` it once; `judgement` is what came of it. `trace`: keep everything that the server did in words."""

    def __init__(self, seed: int, loop: VirtualLoop, folder: Path, judgement: Judgement, trace: bool, small: bool) -> None:
        self.judgement, self.shape = judgement, Shape(seed, small)
        self.ledger = Ledger(now_ns=clock.wall_ns)
        self.machines = Machines(folder)
        self.lines = Lines(seed, judgement.trace if trace else None, self.ledger)
        self.flows = {flow.name: flow for flow in self.shape.flows}
        self.actors: list[Actor] = []
        self.publishers: list[PublisherActor] = []
        self._seed, self._loop = seed, loop
        judgement.log = self.machines.log
        sayings.begin(self.machines.log)

    async def live(self, faults: bool) -> None:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(await Connection.open(URL, name="observer"))
            await ensure(connection, Topology(partitions=self.shape.partitions, store_bytes=STORE_BYTES))
            recorder = await stack.enter_async_context(Recorder(connection, self.shape.partitions))
            client = await stack.enter_async_context(await Client.connect(URL, name="observer"))
            await self._calm(connection)
            await self._load(faults)
            await self._healed(recorder)
            evidence = await recorder.evidence(self.ledger, client)
            self._judge(evidence)
            for actor in self.actors:
                actor.wanted = False
                actor.kill()

    # --- phases

    async def _calm(self, connection: Connection) -> None:
        """Everybody up."""
        nodes = registry(self.ledger, self.flows, lambda: self.shape.slowness)
        types = nodes.node_types()
        for page in (child_flow(), *(flow.definition for flow in self.shape.flows)):
            await deploy(connection, define(Flow.model_validate(page), types))
        self._hire(nodes)
        for actor in self.actors:
            if actor.role in ("coordinator", "worker"):
                actor.start()
        self._supervising = asyncio.create_task(supervise(self.actors))
        await self._until(lambda: self._is_ready(), READY_S, "the fleet is not up")

    def _hire(self, nodes: Registry) -> None:
        hosts = iter(self.shape.host_of)
        common = self.machines, self._crashed
        for number in range(self.shape.coordinators):
            self.actors.append(CoordinatorActor(f"coordinator{number}", *common, next(hosts)))
        for number in range(self.shape.workers):
            self.actors.append(WorkerActor(f"worker{number}", *common, next(hosts), nodes, self.shape.slots))
        for number in range(self.shape.publishers):
            orders = self.shape.orders[number :: self.shape.publishers]
            self.publishers.append(PublisherActor(f"publisher{number}", *common, next(hosts), orders, self.ledger))
        user = UserActor("user", *common, "moon", self.flows, self._open_runs, self.shape.orders, self.ledger)
        self.actors += [*self.publishers, user]

    async def _load(self, faults: bool) -> None:
        for actor in self.actors:
            actor.start()
        monkey = Monkey(Random(f"monkey {self._seed}"), self.actors, self.lines, self.machines, self.ledger, self._loop)
        causing = asyncio.create_task(monkey.cause()) if faults else None
        if faults:
            self.lines.begin_faults()
        await asyncio.sleep(self.shape.load_s)
        if causing is not None:
            causing.cancel()
            self.lines.heal()
            await monkey.heal()
            self.machines.note("healed")
        self.judgement.faults = monkey.counts + self.lines.counts

    async def _healed(self, recorder: Recorder) -> None:
        """Every run ends, and then nothing is left lying anywhere."""
        await self._until(lambda: not self._unfinished(recorder), LIVENESS_S + self.shape.waits_s, "stuck")
        for run in self._unfinished(recorder)[:5]:
            self._complain(f"stuck: {run}")
        await self._until(lambda: not self._left_lying(), QUIET_S, "something is left lying")
        for what in self._left_lying():
            self._complain(f"left lying: {what}")

    def _judge(self, evidence: Evidence) -> None:
        judgement, account = self.judgement, evidence.account
        cancelling.UNDER_WAY_S = BEGINS_LATE_S if judgement.faults else BEGINS_S
        verdict = judge(evidence)
        judgement.complaints += [str(complaint) for complaint in verdict.complaints]
        judgement.complaints += oracle.complaints(evidence, self.flows)
        judgement.complaints += [f"unhandled in {who}: {text}" for who, text in self._loop.unhandled]
        judgement.complaints += [f"said by {what}" for what in sayings.defects]
        judgement.not_known = verdict.not_known
        judgement.acked, judgement.unknown = len(account.runs), len(account.unknown)
        judgement.runs = len(evidence.journals)
        judgement.ended = len(evidence.ends)
        executions = Counter((each.run, each.activation, each.attempt) for each in account.effects)
        judgement.duplicates = sum(times - 1 for times in executions.values())
        judgement.recovery_s = account.recovery_s()
        ends = [(run, summary.status, summary.records) for run, summary in sorted(evidence.ends.items())]
        judgement.digest = sha256(f"{self.lines.digest} {ends}".encode()).hexdigest()[:16]

    # --- looking

    def _is_ready(self) -> bool:
        coordinators = [actor.coordinator for actor in self.actors if isinstance(actor, CoordinatorActor)]
        workers = [actor.worker for actor in self.actors if isinstance(actor, WorkerActor)]
        up = all(one is not None and one.partitions and not one.ready for one in coordinators)
        return up and all(one is not None and one.pulling for one in workers)

    def _partitions(self) -> Iterator[Partition]:
        """Those that a living coordinator is the owner of, and has read to the end."""
        for actor in self.actors:
            if isinstance(actor, CoordinatorActor) and actor.is_up and actor.coordinator is not None:
                for number, owner in sorted(actor.coordinator.owners.items()):
                    if owner.ready and owner.partition is not None and actor.coordinator.holds(number):
                        yield owner.partition

    def _open_runs(self) -> Iterator[Run]:
        for partition in self._partitions():
            for one in partition.runs.values():
                yield one.run

    def _unfinished(self, recorder: Recorder) -> list[str]:
        """What has not ended, each with what it waits for."""
        found = {run.id: ", ".join(map(str, blocked_on(run))) or "nothing" for run in self._open_runs()}
        patient = {run.id for run in self._open_runs() if self._waits_for_a_wrong_clock(run)}
        for order in self.shape.orders:
            if recorder.summary(order.run) is None:
                found.setdefault(order.run, "it is in nobody's hands" if order.run in recorder.begun else "it has not begun")
        found |= {each.name: "it has orders left" for each in self.publishers if not each.is_done}
        missing = set(range(self.shape.partitions)) - {partition.number for partition in self._partitions()}
        return [f"{what} waits: {why}" for what, why in found.items() if what not in patient] + [
            f"partition {number} has no owner" for number in missing
        ]

    def _waits_for_a_wrong_clock(self, run: Run) -> bool:
        """Whether it has nothing but timers, set by a clock that was far ahead: they fire when that time has come."""
        blocked, now_ms, ahead_ms = blocked_on(run), clock.wall_ns() // 10**6, self.machines.most_ahead_ns // 10**6
        latest_ms = now_ms + ahead_ms + self.shape.waits_s * 1_000
        far = [each for each in blocked if each.due is not None and now_ms + FAR_MS < each.due <= latest_ms]
        return bool(blocked) and len(far) == len(blocked)

    def _left_lying(self) -> list[str]:
        """Messages, tasks and effects that should be gone when all runs have ended."""
        found = [f"{count} messages in {stream}" for stream in (subjects.EVENTS, subjects.TASKS) if (count := self._waiting_in(stream))]
        for actor in self.actors:
            if isinstance(actor, CoordinatorActor) and actor.is_up:
                outbox = getattr(actor.coordinator, "outbox", None)  # it has none yet while it starts
                if outbox is not None and outbox.backlog:
                    found.append(f"{outbox.backlog} effects in {actor.name}")
            if isinstance(actor, WorkerActor) and actor.is_up and actor.worker is not None and actor.worker.processor.units:
                found.append(f"{len(actor.worker.processor.units)} messages in work in {actor.name}")
        return found

    def _waiting_in(self, stream: str) -> int:
        return self.lines.messages_in(stream, subjects.TASKS_EPOCH)

    async def _until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        end_s = self._loop.time() + within_s
        while not condition():
            if self._loop.time() > end_s:
                self.machines.note(f"waited {within_s:g} s in vain: {what}")
                return
            await asyncio.sleep(LOOK_S)

    # --- what goes wrong

    def _crashed(self, actor: Actor, error: BaseException) -> None:
        trace = "".join(traceback.format_exception(error)).strip().splitlines()
        self._complain(f"{actor.name} crashed: {error!r}: {' | '.join(trace[-6:])}")

    def _complain(self, what: str) -> None:
        self.judgement.complaints.append(what)
        self.machines.note(f"complaint: {what}")

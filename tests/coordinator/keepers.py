"""Keepers: owners of one partition whose every step a test decides: take over, take in, write a snapshot, die.

`Journal` is what they are measured by: the same records folded by the engine alone, in the order of the WAL, with nothing ever written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from msgspec.structs import replace

from jetfleet.broker.client import Connection, Tail
from jetfleet.broker.coordinator.admission import Admission
from jetfleet.broker.coordinator.ended_runs import EndedRuns
from jetfleet.broker.coordinator.far_timers import FarTimers
from jetfleet.broker.coordinator.locality import Locality
from jetfleet.broker.coordinator.outbox import Outbox
from jetfleet.broker.coordinator.partition import Partition
from jetfleet.broker.coordinator.reopening import Then
from jetfleet.broker.coordinator.snapshots import Snapshots
from jetfleet.broker.definitions import define
from jetfleet.broker.deployment import ensure
from jetfleet.broker.engine import Run, begin, decide, digest, hears, outstanding
from jetfleet.broker.fleet.membership import COORDINATOR, Membership
from jetfleet.broker.flows import Flows
from jetfleet.broker.observe.counters import CoordinatorCounters
from jetfleet.broker.observe.tracing import OFF
from jetfleet.broker.topology import Topology
from jetfleet.broker.versions import deploy
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_batch
from jetfleet.schemas.effects import Await, Dispatch, SetTimer
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, Error, EventReceived, Record, RunReopened, RunStarted, SignalReceived, TimerFired

DAY_MS = 24 * 60 * 60 * 1_000
FOR_EVER = 1 << 62
FLOW = Flow.model_validate(
    {
        "name": "patient",
        "triggers": [{"id": "go", "type": "manual"}],
        "nodes": {
            "first": {"type": "t.work"},
            "signal": {"type": "std::wait", "config": {"signal": "ready"}},
            "event": {"type": "std::wait", "config": {"event": "shipped", "correlate": {"n": "${go.n}"}}},
            "days": {"type": "std::delay", "config": {"duration_ms": 3 * DAY_MS}},
            "last": {"type": "t.work"},
        },
        "edges": [
            {"from": "go", "to": "first"},
            {"from": "first", "to": "signal"},
            {"from": "first", "to": "event"},
            {"from": "signal", "to": "days"},
            {"from": "days", "to": "last"},
            {"from": "event", "to": "last"},
        ],
    }
)
PLAN = compile_flow(FLOW)


class Site:
    """What a partition needs around it. `trusted` False: the lease has run out."""

    partitions = 1
    tracing = OFF

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outbox = Outbox(connection, 1)
        self.flows = Flows(connection)
        self.counters = CoordinatorCounters()
        self.far_timers = FarTimers(connection, self.outbox.singles)
        self.locality = Locality(Membership(connection, COORDINATOR))
        self.admission = Admission(lambda flow: 0, lambda: 1)
        self.trusted = True

    def holds(self, partition: int) -> bool:
        return self.trusted

    def run_begun(self, flow: str, run: str) -> None: ...

    def run_ended(self, plan: Plan, run: str, status: str) -> None: ...

    def plan_missing(self, partition: int, digest: str, then: Callable[[Plan | None], None]) -> None:
        then(None)

    def reopen(self, partition: int, record: RunReopened, then: Then) -> None:
        then("nothing is fetched here")


class Keeper:
    """`partition` is what it keeps, from `take_over` on. `silent`: it takes everything in as if an earlier owner had answered it."""

    partition: Partition

    def __init__(self, site: Site, silent: bool = False) -> None:
        self.site = site
        self._silent = silent
        self.snapshots = Snapshots(site.connection, 0)

    async def take_over(self) -> Keeper:
        """Raises JetfleetError if the snapshot is not whole."""
        manifest = await self.snapshots.open()
        silent_until = FOR_EVER if self._silent else manifest.position
        self.partition = Partition(0, self.site, manifest.position, silent_until, EndedRuns(10_000))
        await self.snapshots.load(self.partition, self.site.flows)
        self._tail = Tail(self.site.connection, subjects.wal_stream(0), manifest.position + 1, self.partition.take)
        await self._tail.start()
        await self.caught_up()
        self.partition.recovered()
        return self

    async def write(self) -> None:
        await self.snapshots.write(self.partition, "epoch")

    async def caught_up(self) -> None:
        await self._tail.caught_up()
        while self.partition.within_message:
            await asyncio.sleep(0.002)

    async def die(self) -> None:
        await self._tail.stop()
        self.partition.stop()

    def digests(self) -> dict[str, str]:
        """The state of every open run."""
        return {id: digest(run.run) for id, run in self.partition.runs.items()}


class Journal:
    """The records so far, and what they have led to."""

    def __init__(self) -> None:
        self.open: dict[str, Run] = {}
        self.ended: list[str] = []
        self.records: list[Record] = []

    def take(self, record: Record) -> None:
        self.records.append(record)
        if isinstance(record, RunStarted):
            if record.run not in self.open and record.run not in self.ended:
                self.open[record.run], _ = begin(PLAN, record)
            return
        concerned = list(self.open) if isinstance(record, EventReceived) else [record.run] if record.run in self.open else []
        for id in concerned:
            run = self.open[id]
            if isinstance(record, EventReceived) and not hears(run, record.event, record.payload):
                continue
            decide(run, replace(record, run=id))
            if run.ended:
                del self.open[id]
                self.ended.append(id)

    def digests(self) -> dict[str, str]:
        return {id: digest(run) for id, run in self.open.items()}

    def next(self, chance: Random) -> Record:
        """Something that could happen now: a beginning, a step of an open run, or something that happened before, once more."""
        kind = chance.random()
        if self.records and kind < 0.1:
            return chance.choice(self.records)
        if not self.open or kind < 0.35:
            return start(len(self.open) + len(self.ended))
        run = self.open[chance.choice(list(self.open))]
        return _answer(run, chance, int(time.time() * 1_000))


def start(number: int) -> RunStarted:
    return RunStarted(f"patient/{number}", int(time.time() * 1_000), "patient", PLAN.digest, "go", encode({"n": number}))


def _answer(run: Run, chance: Random, now: int) -> Record:
    """What one of the things that a run waits for may come to."""
    wish = chance.choice(outstanding(run))
    if isinstance(wish, Dispatch):
        error = Error("boom", "it failed", False) if chance.random() < 0.1 else None
        return Completion(run.id, now, wish.activation, wish.attempt, output=encode({"n": chance.randrange(99)}), error=error)
    if isinstance(wish, SetTimer):
        return TimerFired(run.id, wish.due, wish.timer)
    assert isinstance(wish, Await)
    if wish.kind == "event":
        return EventReceived("", now, wish.name, encode({"n": int(run.id.rpartition("/")[2])}))
    return SignalReceived(run.id, now, wish.name, encode("go on"))


@asynccontextmanager
async def site(url: str) -> AsyncIterator[Site]:
    """A server with one partition and the flow, and what is around a partition's owner."""
    async with await Connection.open(url, name="keeper") as connection:
        await ensure(connection, Topology(partitions=1))
        await deploy(connection, define(FLOW))
        around = Site(connection)
        await around.flows.start()
        yield around
        await around.flows.stop()
        await around.outbox.close()


async def append(site: Site, records: Sequence[Record]) -> None:
    """One message of the WAL."""
    await site.connection.publisher.publish(subjects.wal(0), encode_batch(records))

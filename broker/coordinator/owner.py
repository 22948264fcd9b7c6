"""An owner: a partition's life in the hands of this process.

    take over   manifest, segments, then the WAL to its end: in silence up to what was acknowledged, aloud from there
    follow      records as they come; progress published, snapshots written, questions answered
    let go      orderly: effects acknowledged, a last snapshot. Or at once, when the lease is lost: nothing more is published

A partition that cannot be taken over (a WAL that went backwards, a hole, a broken snapshot) says so, stays closed, and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError
from ...schemas.messages import FAILURES
from ..client import BrokerError, Connection, Subscription, Tail, WrongSequence
from ..garbage import thaw
from .collection_questions import CollectionQuestions
from .ended_runs import EndedRuns
from .limit_questions import LimitQuestions
from .partition import Partition
from .questions import Questions
from .slot_audit import keep_auditing
from .snapshots import Snapshots
from .surroundings import Surroundings
from .waiting_questions import WaitingQuestions

PROGRESS_S = 0.05
SNAPSHOT_EVERY_S = 5.0
SNAPSHOT_IDLE_S = 60.0
"""After this long even a single record is worth a snapshot; before, at least SNAPSHOT_RECORDS."""
SNAPSHOT_RECORDS = 1_000
ENDED_KEPT = 1_000_000
"""Ids of ended runs that a deployment remembers, over all partitions."""
LET_GO_S = 5.0

log = structlog.get_logger("jetfleet.coordinator")


class NotOurs(JetfleetError):
    """The partition was lost before it was taken over."""

    code = "PARTITION_LOST"


class Progress(msgspec.Struct, array_like=True, frozen=True):
    """Up to where effects are acknowledged, and in which epoch of the tasks in memory."""

    position: int
    epoch: str


class Owner:
    """`lost` is called with a reason when the partition turns out not to be ours, or cannot be followed any more."""

    def __init__(self, connection: Connection, number: int, around: Surroundings, lost: Callable[[int, str], None]) -> None:
        self.number = number
        self.partition: Partition | None = None
        self.epoch = ""
        self.snapshotted_at = time.monotonic()
        self._connection = connection
        self._around = around
        self._lost = lost
        self._snapshots = Snapshots(connection, number)
        self._tail: Tail | None = None
        self._questions: list[Subscription] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()
        self._records_at_snapshot = 0
        self._coming_epoch = ""
        self._entering: set[asyncio.Task[None]] = set()
        self._let_go = False

    @property
    def ready(self) -> bool:
        return self.partition is not None and not self.partition.repeating

    @property
    def seen(self) -> tuple[int, int]:
        """The last message of the WAL that came here: its sequence, and when it was stored."""
        return (0, 0) if self._tail is None else (self._tail.last, self._tail.last_ns)

    @property
    def has_tasks_under_way(self) -> bool:
        """Whether tasks that it gave out as new ones may still be on their way to the server. Those of a take-over are marked."""
        return self.ready and self.partition is not None and self.partition.acknowledged.under_way > 0

    # --- taking over

    async def take_over(self, epoch: str) -> None:
        """Come to the state that the WAL describes, and go on from there. Raises JetfleetError with the reason if that cannot be."""
        started = time.monotonic()
        manifest = await self._snapshots.open()
        progress = await self._progress()
        silent_until = max(manifest.position, progress.position)
        ended = EndedRuns(ENDED_KEPT // self._around.partitions)
        partition = Partition(self.number, self._around, manifest.position, silent_until, ended)
        await self._snapshots.load(partition, self._around.flows)
        stream = subjects.wal_stream(self.number)
        self._tail = Tail(self._connection, stream, manifest.position + 1, partition.take, on_hole=self._hole)
        self.partition, self.epoch = partition, progress.epoch or manifest.epoch or epoch
        partition.tasks_come_later = bool(silent_until) and self.epoch != epoch
        if self._let_go:
            raise NotOurs(f"partition {self.number} was let go of while it was being taken over")
        await self._tail.start()
        end = await self._tail.caught_up()
        while partition.position < end and not partition.abandoned:  # a plan is being fetched
            await asyncio.sleep(0.01)
        if partition.abandoned:
            raise NotOurs(f"the lease of partition {self.number} ran out while it was being taken over")
        partition.recovered()
        if not silent_until:
            self.epoch = epoch  # everything was said aloud, and so in this epoch
        repeated = self._repeat(partition, epoch)
        await self._open_for_questions(partition)
        self._tasks = [
            asyncio.create_task(self._publish_progress(partition)),
            asyncio.create_task(self._write_snapshots(partition)),
            asyncio.create_task(keep_auditing(self._connection, partition, self._around)),
        ]
        log.info(
            "took over a partition", partition=self.number, seq=end, runs=len(partition.runs), repeated=repeated,
            took_ms=round((time.monotonic() - started) * 1_000),
        )  # fmt: skip

    async def tasks_lost(self, epoch: str) -> None:
        """The server has lost the tasks that it had in memory: give them out again."""
        if self.partition is not None and self.ready and epoch not in (self.epoch, self._coming_epoch):
            repeated = self._repeat(self.partition, epoch)
            log.warning("the tasks in memory were lost and are given out again", partition=self.number, repeated=repeated)

    def _repeat(self, partition: Partition, epoch: str) -> int:
        """Give out again what was given out in another epoch. How many effects that was.

        Only when all of it is stored does this partition count as being in the new epoch: whoever takes over before repeats it again.
        """
        if epoch == self.epoch and not partition.tasks_come_later:
            return 0
        self._coming_epoch = epoch
        repeated = partition.repeat_outstanding()
        task = asyncio.get_running_loop().create_task(self._enter(partition, epoch))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)
        return repeated

    async def _enter(self, partition: Partition, epoch: str) -> None:
        await partition.acknowledged.everything_so_far()
        if self._coming_epoch == epoch:
            self.epoch = epoch

    async def _progress(self) -> Progress:
        stored = await self._connection.streams.last(subjects.PROGRESS, subjects.progress(self.number))
        try:
            return Progress(0, "") if stored is None else msgspec.msgpack.decode(stored.data, type=Progress)
        except FAILURES:
            return Progress(0, "")

    async def _open_for_questions(self, partition: Partition) -> None:
        answers = Questions(partition, self._around, self.caught_up)
        of_waits = WaitingQuestions(partition, self._around, self.caught_up)
        of_limits = LimitQuestions(partition, self._around, self.caught_up)
        of_collections = CollectionQuestions(partition, self._around, self.caught_up)
        self._questions = [
            await self._connection.subscribe(subjects.verify(self.number), answers.verify),
            await self._connection.subscribe(subjects.run(self.number), answers.run),
            await self._connection.subscribe(subjects.run_states(self.number), answers.run_states),
            await self._connection.subscribe(subjects.joined(self.number), of_collections.joined),
            await self._connection.subscribe(subjects.collections(self.number), of_collections.collections),
            await self._connection.subscribe(subjects.count(self.number), answers.count),
            await self._connection.subscribe(subjects.waiting(self.number), of_waits.waiting),
            await self._connection.subscribe(subjects.decided(self.number), of_waits.decided),
            await self._connection.subscribe(subjects.takes(self.number), of_waits.takes),
            await self._connection.subscribe(subjects.slots(self.number), of_limits.slots),
            await self._connection.subscribe(subjects.limits(self.number), of_limits.limits),
        ]

    async def caught_up(self) -> None:
        """Wait until everything that is in the WAL now has been taken in."""
        if self._tail is None or self.partition is None:
            return
        end = await self._tail.caught_up()
        while self.partition.position < end and not self.partition.abandoned:
            await asyncio.sleep(0.005)

    # --- following

    async def _publish_progress(self, partition: Partition) -> None:
        said = Progress(-1, "")
        while True:
            await asyncio.sleep(PROGRESS_S)
            now = Progress(partition.acknowledged.position, self.epoch)
            if now == said or not self._around.holds(self.number):
                continue
            with contextlib.suppress(BrokerError):  # who takes over repeats a little more
                await self._connection.send(subjects.progress(self.number), msgspec.msgpack.encode(now))
                said = now

    async def _write_snapshots(self, partition: Partition) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_EVERY_S)
            since = partition.records - self._records_at_snapshot
            age = time.monotonic() - self.snapshotted_at
            if since and (since >= SNAPSHOT_RECORDS or age >= SNAPSHOT_IDLE_S):
                await self._write_snapshot(partition)

    async def _write_snapshot(self, partition: Partition) -> None:
        async with self._writing:
            records = partition.records
            try:
                await self._snapshots.write(partition, self.epoch)
            except WrongSequence:
                self._lost(self.number, "somebody else has written its snapshot")
            except Exception as error:  # a defect too: a partition without snapshots would grow for ever
                self._lost(self.number, f"its snapshot cannot be written: {error}")
            else:
                self._records_at_snapshot, self.snapshotted_at = records, time.monotonic()

    def _hole(self, expected: int, got: int) -> None:
        stream = subjects.wal_stream(self.number)
        log.critical(
            "a WAL is damaged: the partition stays closed", partition=self.number, stream=stream, expected_seq=expected, found_seq=got,
            next="restore the stream from a backup; `jetfleet doctor` shows the state",
        )  # fmt: skip
        self._lost(self.number, f"{stream} is damaged: sequence {expected} was expected and {got} found")

    # --- letting go

    async def let_go(self, orderly: bool) -> None:
        """Act for the partition no more. Orderly: what is under way is waited for, and a snapshot left."""
        self._snapshots.hurry = True
        self._let_go = True
        for task in self._entering:
            task.cancel()
        for subscription in self._questions:
            with contextlib.suppress(BrokerError):
                await subscription.stop()
        if self._tail is not None:
            await self._tail.stop()
        orderly = orderly and self.ready and await self._nothing_half_written()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if orderly and self.partition is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LET_GO_S):
                    await self._leave_snapshot(self.partition)
        if self.partition is not None:
            self.partition.stop()
            thaw()

    async def _nothing_half_written(self) -> bool:
        """Wait for a snapshot that is being written: one that was broken off cannot be followed by another. False: it takes too long."""
        try:
            async with asyncio.timeout(LET_GO_S), self._writing:
                return True
        except TimeoutError:
            return False

    async def _leave_snapshot(self, partition: Partition) -> None:
        await partition.acknowledged.everything_so_far()
        if partition.position > self._snapshots.manifest.position:
            await self._write_snapshot(partition)
        progress = Progress(partition.acknowledged.position, self.epoch)
        with contextlib.suppress(BrokerError):
            await self._connection.send(subjects.progress(self.number), msgspec.msgpack.encode(progress))

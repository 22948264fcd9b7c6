"""The outbox: everything that a coordinator publishes on behalf of runs, group-committed per destination.

Nothing here blocks or fails: batchers are patient, and say in `blocked_by` what holds them up. A ticket counts what is under way for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ...schemas import messages, subjects
from ...schemas.limits import MESSAGE_MAX_BYTES
from ...schemas.messages import DeadLetter, Ended
from ..client import Batcher, BrokerError, Connection
from ..dead_letter import fitting
from .acknowledged import Ticket
from .durations import BATCH_US, Durations
from .few_at_a_time import FewAtATime
from .patient import PatientPublisher
from .pins import pin_for_letter

TASKS_IN_FLIGHT, WAL_IN_FLIGHT = 4, 4
ENTRIES_MAX = 512
ENVELOPE_BYTES = 64 * 1024
"""For everything in a message besides payloads: ids, errors, headers."""
_encode = msgspec.msgpack.Encoder().encode


class Unasked:
    """The receipt of what nobody has to know about."""

    def settled(self, count: int, error: BrokerError | None) -> None:
        pass


UNASKED = Unasked()


class Outbox:
    """One per coordinator process, shared by its partitions."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self.durations = Durations()
        self.singles = PatientPublisher(connection)
        self._announcements = FewAtATime(self.singles)
        self._connection = connection
        self._partitions = partitions
        self.may_send_tasks: Callable[[], bool] = lambda: True
        """Whether this process may still act for all of its partitions."""
        self._epoch: dict[str, str] = {}
        self._holding_tasks = False
        self._wal: dict[int, Batcher] = {}
        self._tasks: dict[tuple[str, str, str], Batcher] = {}
        self._history: dict[str, Batcher] = {}
        self._notices: dict[str, list[bytes]] = {}
        self._notifying: set[asyncio.Task[None]] = set()

    @property
    def entry_max_bytes(self) -> int:
        """The most that a single entry may have: what the server takes in a message, less what goes around it."""
        return min(MESSAGE_MAX_BYTES, self._connection.max_payload) - ENVELOPE_BYTES

    def hold_tasks(self) -> None:
        """No task leaves until `begin_epoch`: the server that comes back may have lost its memory."""
        self._holding_tasks = True
        for batcher in self._tasks.values():
            batcher.recall()

    def begin_epoch(self, epoch: str) -> None:
        """Say on messages of tasks from now on in which epoch they were first published.

        Tasks of an earlier epoch that are not known to be stored are forgotten: all that are outstanding are given out anew in this one,
        and of two copies two workers could hear that theirs is wanted.
        """
        before, self._epoch = self._epoch, {subjects.EPOCH_HEADER: epoch}
        for batcher in self._tasks.values():
            if self._epoch != before:
                batcher.forget()
            batcher.headers = self._epoch
        self._holding_tasks = False

    def drop_tasks(self) -> None:
        """Take back the tasks that have not been stored: others own the runs now, and give them out themselves."""
        batchers, self._tasks = list(self._tasks.values()), {}
        for batcher in batchers:
            batcher.stop()

    # --- stored

    def record(self, run: str, record: bytes, receipt: Ticket | Unasked | object = UNASKED) -> None:
        """Append an encoded record to the WAL of the run's partition."""
        self.wal(subjects.partition_of(run, self._partitions), record, receipt)

    def wal(self, partition: int, record: bytes, receipt: Ticket | Unasked | object = UNASKED) -> None:
        batcher = self._wal.get(partition)
        if batcher is None:
            batcher = self._wal[partition] = self._batcher(subjects.wal(partition), WAL_IN_FLIGHT)
        if type(receipt) is Ticket:
            receipt.pending += 1
        batcher.put(record, receipt)  # type: ignore[arg-type]

    def task(self, queue: str, type: str, task: bytes, ticket: Ticket, host: str = "") -> None:
        """Put an encoded Task on its queue, in one message with others of its node type that are expected to be quick.

        `host`: the arena near which it should be executed.
        """
        batcher = self._tasks.get((queue, host, type))
        if batcher is None:
            batcher = self._batcher(subjects.tasks(queue, host), TASKS_IN_FLIGHT, weight_max=BATCH_US)
            batcher.headers, batcher.gate = self._epoch, self._tasks_may_leave
            self._tasks[queue, host, type] = batcher
        ticket.pending += 1
        batcher.put(task, ticket, self.durations.expected_us(type))

    def part(self, flow: str, part: bytes, ticket: Ticket) -> None:
        """Archive an encoded Part of a journal."""
        batcher = self._history.get(flow)
        if batcher is None:
            batcher = self._history[flow] = self._batcher(subjects.history(flow), WAL_IN_FLIGHT)
        ticket.pending += 1
        batcher.put(part, ticket)

    def dead(self, letter: DeadLetter, settled: Callable[[], None] | None = None, *, id: str | None = None) -> None:
        """Keep what could not be read or placed; `settled` is called when it is on disk. Of a message that is too large: its beginning.

        `id`: the same one again within the server's memory is the same letter.
        """
        pin_for_letter(self, letter)
        letter = fitting(letter, self._connection.max_payload)
        self.singles.publish(subjects.dead(letter.kind), messages.encode(letter), settled or _nobody, id=id)

    def announce(self, flow: str, notice: bytes, id: str, ticket: Ticket) -> None:
        """Tell whoever asks people that a run of the flow waits for somebody to decide. The same id again is the same notice."""
        ticket.pending += 1
        self._announcements.publish(subjects.approval(flow), notice, id, lambda: ticket.settled(1, None))

    def pin(self, subject: str, body: bytes, ticket: Ticket) -> None:
        """Keep an object of the object store for a while. The same pin again replaces itself."""
        ticket.pending += 1
        self.singles.publish(subject, body, lambda: ticket.settled(1, None))

    def event(self, subject: str, payload: bytes, id: str, trace: str, ticket: Ticket) -> None:
        """Publish an event in msgpack; the same id again is the same event."""
        ticket.pending += 1
        headers = {"Content-Type": "application/msgpack"} | ({"traceparent": trace} if trace else {})
        self.singles.publish(subject, payload, lambda: ticket.settled(1, None), id=id, headers=headers)

    # --- not stored

    def ended(self, partition: int, notice: Ended) -> None:
        self._notify(subjects.ended(partition), _encode(notice))

    def cancel(self, run: str, activation: tuple[int | str, ...], attempt: int) -> None:
        self._notify(subjects.CANCEL, _encode((run, activation, attempt)))

    def _notify(self, subject: str, entry: bytes) -> None:
        """Collect notices until the end of this turn of the loop."""
        waiting = self._notices.get(subject)
        if waiting is not None:
            waiting.append(entry)
            return
        self._notices[subject] = [entry]
        if len(self._notices) == 1:
            task = asyncio.get_running_loop().create_task(self._send_notices())
            self._notifying.add(task)
            task.add_done_callback(self._notifying.discard)

    async def _send_notices(self) -> None:
        notices, self._notices = self._notices, {}
        for subject, entries in notices.items():
            try:
                await self._connection.send(subject, messages.join(entries))
            except BrokerError:
                return  # notices may be missed: who waits for one asks after a while

    # --- state

    @property
    def backlog(self) -> int:
        """Entries that are not acknowledged yet."""
        return sum(batcher.backlog for batcher in self._batchers())

    @property
    def blocked_by(self) -> str:
        """Why nothing leaves; empty when all is well."""
        reasons = [self.singles.blocked_by, *(batcher.blocked_by for batcher in self._batchers())]
        held = "tasks wait until it is known whether the server has lost its memory" if self._holding_tasks else ""
        return next((str(reason) for reason in reasons if reason is not None), held)

    async def drained(self) -> None:
        """Wait until everything that was put in is acknowledged."""
        for batcher in self._batchers():
            await batcher.drained()

    async def close(self) -> None:
        self._announcements.drop()
        await self.singles.close()
        for batcher in self._batchers():
            await batcher.close()

    def _tasks_may_leave(self) -> bool:
        return not self._holding_tasks and self.may_send_tasks()

    def _batchers(self) -> list[Batcher]:
        return [*self._wal.values(), *self._tasks.values(), *self._history.values()]

    def _batcher(self, subject: str, in_flight_max: int, weight_max: int = 0) -> Batcher:
        return Batcher(self._connection.publisher, subject, entries_max=ENTRIES_MAX, in_flight_max=in_flight_max, weight_max=weight_max)


def _nobody() -> None:
    """Nobody waits for it."""

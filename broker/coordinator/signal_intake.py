"""Signal intake: what any program tells runs that wait, on its way from SIGNALS into the WAL.

    signals.<run>.<name>    for one run; its owner is asked whether it would take it, many at a time
    awaited.<event>         for all runs that wait for it: a record for every partition

A message is acknowledged when its records, or its dead letter, are on disk. One whose acknowledgement is lost comes again, with the same
id, which counts once. A run that nobody knows may be about to begin: its signal is given back a few times before it counts as unknown.

Does not promise an order between signals: the WAL has one, in which they are then taken in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from ...schemas import subjects
from ...schemas.codec import encode_record
from ...schemas.errors import JetfleetError
from ...schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from ...schemas.messages import DeadLetter
from ...schemas.payload import Payload
from ...schemas.records import EventReceived, SignalReceived
from ..client import BrokerError, Connection, Message, Pull
from ..content import payload_of
from ..deployment import ensure_signals
from ..observe.counters import CoordinatorCounters
from ..topology import SIGNALS
from ..waiting import REJECTED, RUN_ENDED, TAKEN, Refusal, refusals
from .outbox import Outbox

IN_HAND_MAX = 512
"""Messages that are worked on at a time."""
QUESTIONS_MAX = 3
"""Under way at a time: more than one, so that a partition that changes hands holds up the signals of others less."""
OWNER_S = 2.0
AGAIN_S = 0.5
UNKNOWN_TRIES = 4
"""Deliveries after which a run that nobody knows is unknown: some three seconds."""
RUN, NAME = "jetfleet-run", "jetfleet-signal"
BY_HEADER = "signals.by.header"
"""The subject of messages whose headers alone say for whom they are: no run is called `by`."""
_CODES = {RUN_ENDED: "RUN_ENDED", REJECTED: "SIGNAL_REJECTED"}

log = structlog.get_logger("jetfleet.coordinator")


class Unplaceable(JetfleetError):
    """A message that can be no signal: it names no run, or is too large."""

    code = "SIGNAL_REJECTED"


class Site(Protocol):
    """What it needs of the coordinator around it."""

    connection: Connection
    partitions: int
    outbox: Outbox
    counters: CoordinatorCounters


class _Stored:
    """Acknowledges a message when everything that came of it is on disk. What was cut off comes again."""

    __slots__ = ("_intake", "failed", "left", "message")

    def __init__(self, intake: SignalIntake, message: Message, left: int) -> None:
        self._intake, self.message, self.left = intake, message, left
        self.failed = False

    def settled(self, count: int, error: BrokerError | None) -> None:
        self.left -= count
        self.failed = self.failed or error is not None
        if not self.left:
            self._intake.done(self.message, self.failed)


class SignalIntake:
    """One per coordinator; all share the consumer."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._in_hand = 0
        self._questions = 0
        self._come: list[tuple[Message, SignalReceived]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        repair = self._repair
        self._pull = Pull(site.connection, subjects.SIGNALS, SIGNALS, self._take, room=self._room, repair=repair)

    async def start(self) -> None:
        await self._pull.start()

    async def stop(self) -> None:
        await self._pull.stop()
        for task in list(self._tasks):
            task.cancel()

    async def _repair(self) -> None:
        await ensure_signals(self._site.connection)

    def _room(self) -> int:
        return IN_HAND_MAX - self._in_hand

    def _take(self, message: Message) -> None:
        self._in_hand += 1
        try:
            record = read_signal(message)
        except JetfleetError as error:
            self._bury(message, error.code, str(error))
            return
        if isinstance(record, EventReceived):
            data, stored = encode_record(record), _Stored(self, message, self._site.partitions)
            for partition in range(self._site.partitions):
                self._site.outbox.wal(partition, data, stored)
            return
        self._come.append((message, record))
        if self._questions < QUESTIONS_MAX and len(self._come) == 1:
            self._questions += 1
            self._spawn(self._place_all())

    async def _place_all(self) -> None:
        """Ask about what has come, all together, and write what is taken; what comes meanwhile goes with the next question."""
        try:
            await asyncio.sleep(0)
            while self._come:
                come, self._come = self._come, []
                await self._place(come)
        finally:
            self._questions -= 1

    async def _place(self, come: list[tuple[Message, SignalReceived]]) -> None:
        records = [record for _, record in come]
        answers = await refusals(self._site.connection, self._site.partitions, records, patience_s=OWNER_S)
        for (message, record), answer in zip(come, answers, strict=True):
            if isinstance(answer, BrokerError):
                self._give_back(message)
            elif answer.state == TAKEN:
                self._site.outbox.record(record.run, encode_record(record), _Stored(self, message, 1))
            else:
                self._refuse(message, record, answer)

    def _refuse(self, message: Message, record: SignalReceived, answer: Refusal) -> None:
        if answer.state not in _CODES:
            if message.delivered < UNKNOWN_TRIES:
                self._give_back(message)
            else:
                self._bury(message, "UNKNOWN_RUN", f"there is no run {record.run!r}")
        elif answer.state == REJECTED:
            self._bury(message, _CODES[REJECTED], f"run {record.run} does not take it: {answer.why}")
        else:
            again = "; it was delivered before, and may have been taken in then" if message.delivered > 1 else ""
            self._bury(message, _CODES[RUN_ENDED], f"run {record.run} has {answer.why or 'ended'} already{again}")

    def _give_back(self, message: Message) -> None:
        self._in_hand -= 1
        self._spawn(message.nak(AGAIN_S * min(message.delivered, 4)))
        self._pull.wake()

    def _bury(self, message: Message, code: str, reason: str) -> None:
        log.warning("a signal is put with the dead letters", subject=message.subject, seq=message.stream_seq, code=code, reason=reason)
        self._site.counters.dead_letters += 1
        now, where = time.time_ns() // 1_000_000, f"SIGNALS sequence {message.stream_seq}"
        letter = DeadLetter("signal", code, reason, message.subject, message.data, now, dict(message.headers), where)
        id = f"signal-{message.timestamp_ns}.{message.stream_seq}"
        self._site.outbox.dead(letter, lambda: self.done(message), id=id)

    def done(self, message: Message, failed: bool = False) -> None:
        """What came of the message is on disk; `failed`: it is not, and the server delivers the message again."""
        self._in_hand -= 1
        if not failed:
            self._spawn(message.ack())
        self._pull.wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def read_signal(message: Message) -> SignalReceived | EventReceived:
    """The record of a message on `signals.>` or `awaited.>`. Raises Unplaceable, UnreadableEvent."""
    headers = {name.lower(): value for name, value in message.headers.items()}  # clients differ in how they write them
    payload: Payload = payload_of(message.data, headers.get("content-type", ""))
    if len(payload) > PAYLOAD_INLINE_MAX_BYTES:
        raise Unplaceable(f"the value has {len(payload):,} bytes, and at most {PAYLOAD_INLINE_MAX_BYTES:,} travel inside a message")
    now = time.time_ns() // 1_000_000
    id = headers.get("nats-msg-id") or f"#{message.timestamp_ns}.{message.stream_seq}"
    kind, _, rest = message.subject.partition(".")
    if kind == "awaited":
        return EventReceived("", now, rest, payload, id)
    run, _, name = rest.rpartition(".")
    run, name = headers.get(RUN, run), headers.get(NAME, name)
    if not run or not name or (message.subject == BY_HEADER and not {RUN, NAME} <= headers.keys()):
        raise Unplaceable("the message names no run: send it on signals.RUN.NAME, or with the headers Jetfleet-Run and Jetfleet-Signal")
    return SignalReceived(run, now, name, payload, id)

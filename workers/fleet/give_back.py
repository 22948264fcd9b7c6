"""Giving tasks back: to another worker, a later moment, or the one that starts in the place of a dead process.

A message is given back as a *copy* of its tasks on the same subject (on the queue's, if they cannot be executed here: near this arena they
would come again), and then acknowledged. The server would count a negative
acknowledgement as one more delivery, and deliveries after the first are how we know that a message takes its workers down. A copy
carries that count (DEATHS_HEADER) and nothing on top; that the header is there at all says that the owners have to be asked first.

Only what was being executed when its process died is really refused (NAK): that death counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from ...broker.client import BrokerError, Connection
from ...broker.observe.counters import WorkerCounters
from ...schemas.messages import Task, encode, join
from .ledger import Left, left_by_others
from .settings import DEATHS_HEADER
from .unit import UnitOfWork, deaths_before

DEADLINE_S = 5.0
"""For the copy to be stored. If it is not, the original is refused: counted once too often, but not lost."""


class GiveBack:
    """`close` lets everything that waits for its time go at once."""

    def __init__(self, connection: Connection, counters: WorkerCounters) -> None:
        self._connection = connection
        self._closing = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._counters = counters

    def tasks(self, unit: UnitOfWork, tasks: Sequence[Task], delay_s: float) -> None:
        """Give these tasks of a message back after a while, and settle them. Until then they stay in work here, and nobody else's.

        They go to any worker of the queue, not only to those near the same arena.
        """
        under_way = asyncio.get_running_loop().create_task(self._tasks(unit, tasks, delay_s))
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)

    async def parted(self, unit: UnitOfWork, tasks: Sequence[Task]) -> None:
        """Give these tasks of a message back now, each in a message of its own. Raises BrokerError."""
        stream, _, seq, stored_at = _delivery(unit.message.reply)
        for task in tasks:  # the id is the same if this process dies in between, and another one does it again
            id = f"part-{stream}-{seq}-{stored_at}-{task.run}-{task.activation}-{task.attempt}"
            await self._copy(unit.message.subject, join([encode(task)]), unit.deaths, DEADLINE_S, id)
        self._counters.given_back += len(tasks)

    async def message(self, unit: UnitOfWork, deadline_s: float = DEADLINE_S) -> None:
        """Give a whole message back now: whatever was done of it already, its owners know."""
        try:
            await self._copy(unit.message.subject, unit.message.data, unit.deaths, deadline_s)
        except BrokerError:
            await unit.message.nak()
        else:
            await unit.message.ack()

    async def left(self, left: Iterable[Left]) -> int:
        """Give back what a dead process had in work; how many messages. Raises BrokerError."""
        count = 0
        for one in left:
            if one.executing:
                await self._connection.send(one.reply, b"-NAK")
                count += 1
            else:
                count += await self._left_waiting(one.reply)
        return count

    async def left_in(self, folder: Path) -> None:
        """Give back what dead processes of this machine had in work."""
        try:
            with left_by_others(folder) as left:
                count = await self.left(left)
        except BrokerError as error:  # their messages come again after ack_wait
            _log().warning("cannot give back what a dead worker had in work", error=str(error))
            return
        if count:
            _log().info("gave back what dead workers had in work", messages=count)

    async def close(self) -> None:
        self._closing.set()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _tasks(self, unit: UnitOfWork, tasks: Sequence[Task], delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._closing.wait()
        except TimeoutError:
            pass
        try:
            await self._copy(anywhere(unit.message.subject), join([encode(task) for task in tasks]), unit.deaths, DEADLINE_S)
        except BrokerError as error:
            unit.settled(len(tasks), error)
        else:
            self._counters.given_back += len(tasks)
            unit.settled(len(tasks))

    async def _copy(self, subject: str, data: bytes, deaths: int, deadline_s: float, id: str | None = None) -> None:
        headers = {DEATHS_HEADER: str(deaths)}
        await self._connection.publisher.publish(subject, data, id=id, headers=headers, deadline_s=deadline_s)

    async def _left_waiting(self, reply: str) -> int:
        """It had no part in the death: it must not be counted."""
        stream, delivered, seq, stored_at = _delivery(reply)
        stored = await self._connection.streams.get(stream, seq)
        if stored is None:  # acknowledged just before
            return 0
        # The id is that of the delivery: of two who notice the death, one copies.
        id = f"back-{stream}-{seq}-{stored_at}-{delivered}"
        await self._copy(stored.subject, stored.data, deaths_before(stored.headers) + delivered - 1, DEADLINE_S, id)
        await self._connection.send(reply, b"+ACK")
        return 1


def anywhere(subject: str) -> str:
    """The subject of the same queue's tasks that are near no arena. A task of another client may have come on any subject."""
    return ".".join(subject.split(".")[:2])


def _delivery(reply: str) -> tuple[str, int, int, str]:
    """Stream, delivery, sequence and time of storing, from the end of `$JS.ACK[.<domain>.<account>].<stream>.<consumer>.…`."""
    tokens = reply.split(".")
    if len(tokens) > 9:
        tokens = tokens[:2] + tokens[4:]
    return tokens[2], int(tokens[4]), int(tokens[5]), tokens[7]


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("jetfleet.worker")
    return logger

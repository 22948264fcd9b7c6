"""The chain: the next time of one cron trigger, as a schedule on the server that fires into the consumer of all ticks.

    cron.<flow>.<trigger>  ──the server, at its time──▶  tick.<flow>.<trigger>  ──▶  a coordinator: event, next link, ack

There is one link at a time. The server takes it away in the same write in which it fires, so "no link" and "a tick is on its way" are one
state, and a link is only set where the one that was read is still there: of two processes that mend or move the chain, one does.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ....schemas import messages, subjects
from ....schemas.errors import UnreadableRecord
from ...client import Connection, Refused, WrongSequence
from .tick import Tick, key

NOTHING = 0
"""The sequence of a link that is not there."""


@dataclass(frozen=True, slots=True)
class Link:
    """`seq`: of the message; 0: there is none. `tick` None: there is none, or nobody here can read it."""

    seq: int = NOTHING
    tick: Tick | None = None


class Chain:
    """Every method raises BrokerError."""

    def __init__(self, connection: Connection, flow: str, trigger: str) -> None:
        self._connection = connection
        self._link, self._tick = subjects.cron(flow, trigger), subjects.tick(flow, trigger)

    async def link(self) -> Link:
        """What is scheduled."""
        return await self._last(self._link)

    async def fired(self) -> Link:
        """The tick that is on its way to a coordinator, or with one."""
        return await self._last(self._tick)

    async def set(self, tick: Tick, due_ms: int, instead_of: int) -> bool:
        """Let the tick fire at `due_ms`, in the place of the link with that sequence. False: it is not there (any more).

        A time that has passed fires at once.
        """
        headers = {"Nats-Schedule": f"@at {key(due_ms)}", "Nats-Schedule-Target": self._tick}
        try:
            await self._connection.publisher.publish(
                self._link, messages.encode(tick), headers=headers, expect_last_subject_seq=instead_of
            )  # fmt: skip
        except WrongSequence:
            return False
        return True

    async def remove(self, link: Link) -> None:
        """Take this link, or this tick, away, if it is still there."""
        if link.seq != NOTHING and await self._connection.streams.get(subjects.TIMERS, link.seq) is not None:
            with contextlib.suppress(Refused):  # it went a moment ago
                await self._connection.streams.delete_message(subjects.TIMERS, link.seq)

    async def _last(self, subject: str) -> Link:
        stored = await self._connection.streams.last(subjects.TIMERS, subject)
        if stored is None:
            return Link()
        try:
            return Link(stored.seq, read(stored.data))
        except UnreadableRecord:
            return Link(stored.seq)


def read(data: bytes) -> Tick:
    """The tick in a message. Raises UnreadableRecord."""
    return messages.decode(Tick, data)

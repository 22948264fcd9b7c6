"""How far the effects of a WAL have been acknowledged: the position behind which nothing has to be done again.

Effects leave in batches by several publishers and are acknowledged in any order. Each WAL message has a ticket that counts what is
still under way for it; the position moves over all tickets at the front that have nothing left.
"""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from ..client import BrokerError, ConnectionClosed

log = structlog.get_logger("jetfleet.coordinator")


class Ticket:
    """One WAL message's effects. Publishers call `settled`; who hands them something counts it in `pending` first."""

    __slots__ = ("_owner", "pending", "seq", "through")

    def __init__(self, owner: Acknowledged, seq: int) -> None:
        self._owner = owner
        self.seq = seq
        self.pending = 1  # held open while the message is being worked on
        self.through = False

    def settled(self, count: int, error: BrokerError | None) -> None:
        """`count` of its effects have been acknowledged. What cannot be published at all (too large) counts too: it never will be.

        What was taken back, or was on its way when the connection was closed, does not count: the next owner must carry it out.
        """
        if isinstance(error, ConnectionClosed):
            return
        self.pending -= count
        if error is not None:
            log.error("an effect cannot be carried out", seq=self.seq, code=error.code, reason=str(error))
        if not self.pending:
            self._owner.advance()


class Acknowledged:
    """`position` is the sequence of the last WAL message whose effects, and those of all before it, are acknowledged."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._tickets: deque[Ticket] = deque()

    def open(self, seq: int) -> Ticket:
        """A ticket for the next message. Close it with `settled(1, None)`."""
        ticket = Ticket(self, seq)
        self._tickets.append(ticket)
        return ticket

    def advance(self) -> None:
        tickets = self._tickets
        while tickets and not tickets[0].pending:
            ticket = tickets.popleft()
            ticket.through = True
            self.position = max(self.position, ticket.seq)

    async def everything_so_far(self) -> None:
        """Wait until all effects that are under way now are acknowledged, those included that came of no new message.

        `position` does not tell: it may stand where it will stand already, while something at the same place is under way.
        """
        mark = self.open(self.position)
        mark.settled(1, None)
        while not mark.through:
            await asyncio.sleep(0.005)

    @property
    def under_way(self) -> int:
        """WAL messages with effects that are not acknowledged yet."""
        return len(self._tickets)

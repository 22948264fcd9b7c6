"""How far the effects of a WAL have been acknowledged: the position behind which nothing has to be done again.

Effects leave in batches by several publishers and are acknowledged in any order. Each WAL message has a ticket that counts what is
still under way for it; the position moves over all tickets at the front that have nothing left.
"""

from __future__ import annotations

from collections import deque

from ..client import BrokerError


class Ticket:
    """One WAL message's effects. Publishers call `settled`; who hands them something counts it in `pending` first."""

    __slots__ = ("_owner", "pending", "seq")

    def __init__(self, owner: Acknowledged, seq: int) -> None:
        self._owner = owner
        self.seq = seq
        self.pending = 1  # held open while the message is being worked on

    def settled(self, count: int, error: BrokerError | None) -> None:
        """`count` of its effects have been acknowledged. What cannot be published at all (too large) counts too: it never will be."""
        self.pending -= count
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
            self.position = max(self.position, tickets.popleft().seq)

    @property
    def under_way(self) -> int:
        """WAL messages with effects that are not acknowledged yet."""
        return len(self._tickets)

"""A unit of work: one message of tasks, from its arrival to its acknowledgement.

It counts what is still owed for it (a completion that is not on disk, a dead letter, a copy given back) and is handed to `end` when
nothing is: that is the only way to an acknowledgement. While one of its tasks executes, its cell in the ledger says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from ...broker.client import BrokerError, Message
from .ledger import Ledger
from .settings import DEATHS_HEADER


class UnitOfWork:
    """`deaths`: how many workers have died of this message, as far as is known. `since`: its arrival, by the monotonic clock, in s."""

    __slots__ = ("_active", "_ledger", "cell", "deaths", "end", "error", "known_at", "message", "owed", "since")

    def __init__(self, message: Message, ledger: Ledger, end: Callable[[UnitOfWork], None]) -> None:
        self.message = message
        # Whoever gives a message back does so by a copy that carries the count: every delivery after the first follows on a death.
        self.deaths = deaths_before(message.headers) + message.delivered - 1
        self.since = self.known_at = monotonic()
        self.cell = ledger.set(message.reply)
        self.owed = 1  # held open until its tasks are counted
        self.error: BrokerError | None = None
        self._active = 0
        self._ledger = ledger
        self.end = end

    def settled(self, count: int, error: BrokerError | None = None) -> None:
        """`count` of what is owed is done. With an error it cannot be done, and the message will be given back instead of acknowledged."""
        self.owed -= count
        if error is not None:
            self.error = error
        if not self.owed:
            self.end(self)

    def failed(self, error: BrokerError) -> None:
        """Whatever is still owed cannot be done."""
        self.settled(self.owed, error)

    def begin(self) -> None:
        """One of its tasks is being executed."""
        self._active += 1
        if self._active == 1:
            self._ledger.executing(self.cell, True)

    def pause(self) -> None:
        """It no longer is."""
        self._active -= 1
        if not self._active:
            self._ledger.executing(self.cell, False)


def deaths_before(headers: Mapping[str, str]) -> int:
    """How many workers had died of a message's tasks before this copy of it was made."""
    told = headers.get(DEATHS_HEADER, "0")
    return int(told) if told.isdecimal() and len(told) < 6 else 0

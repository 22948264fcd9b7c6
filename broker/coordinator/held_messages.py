"""Held messages: what has come of a WAL and is not through yet, and what holds it up.

Mostly that is one message, for as long as its entries are taken in. It is more of them while a plan that is not known yet, or the journal
of a run that is to go on, is being fetched, or while one event is given to all who wait for it: then what has come stays here, and this
partition waits, and no other.

Guarantees: entries are taken in one at a time, strictly in the order of the WAL, and none after the partition may be somebody else's.
Does not: know what an entry is; its partition takes it in and says what holds up the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ...schemas.errors import UnreadableRecord
from ...schemas.plan.plan import Plan
from ...schemas.records import RunReopened
from ..client import Message
from .acknowledged import Ticket
from .broadcast import Broadcast
from .reopening import Reopened, open_again

if TYPE_CHECKING:
    from .partition import Partition

HeldUpBy: TypeAlias = str | Broadcast | RunReopened
"""What has to be there, or to be over, before the next entry is taken in; a text is the digest of a plan."""


class HeldMessages:
    """Those of one partition: each with its entries that are not taken in yet, and its ticket."""

    def __init__(self, home: Partition) -> None:
        self._home = home
        self._messages: deque[tuple[Message, list[msgspec.Raw], Ticket]] = deque()

    def __bool__(self) -> bool:
        return bool(self._messages)

    def add(self, message: Message, entries: list[msgspec.Raw], ticket: Ticket) -> None:
        """Take the entries in, now or when what is held up before them is through."""
        self._messages.append((message, entries, ticket))
        if len(self._messages) == 1:
            self._work()

    def clear(self) -> None:
        self._messages.clear()

    def _work(self) -> None:
        """Have entries taken in, until there is nothing left or something holds them up."""
        home, messages = self._home, self._messages
        while messages:
            message, entries, ticket = messages[0]
            home.now_ms = time.time_ns() // 1_000_000
            for place, raw in enumerate(entries):
                held_up_by = home.take_entry(message, raw, ticket)
                if held_up_by is not None:
                    del entries[: place + isinstance(held_up_by, Broadcast)]
                    self._wait_for(held_up_by)
                    return
            messages.popleft()
            home.position = message.stream_seq
            home.records += len(entries)
            ticket.settled(1, None)

    def _wait_for(self, what: HeldUpBy) -> None:
        """Go on taking in when a plan or a journal is there, or an event has been given to all who wait for it."""
        around, number = self._home.around, self._home.number
        if isinstance(what, Broadcast):
            asyncio.get_running_loop().call_soon(self._go_on, what)
        elif isinstance(what, RunReopened):
            around.reopen(number, what, partial(self._reopened, what))
        else:
            around.plan_missing(number, what, self._plan_found)

    def _go_on(self, broadcast: Broadcast) -> None:
        if self._home.is_outdone():
            return
        self._home.now_ms = time.time_ns() // 1_000_000
        if broadcast.go_on():
            self._work()
        else:
            self._wait_for(broadcast)

    def _plan_found(self, plan: Plan | None) -> None:
        """The entry is taken in once more: with its plan now, or it is none that can be."""
        if self._home.is_outdone():
            return
        if plan is None and self._messages:
            message, entries, ticket = self._messages[0]
            what = "the plan of this run is not among the deployed versions"
            self._home.bury(message, bytes(entries.pop(0)), UnreadableRecord(what), ticket)
        self._work()

    def _reopened(self, record: RunReopened, found: Reopened | str) -> None:
        if self._home.is_outdone():
            return
        message, entries, ticket = self._messages[0]
        raw = entries.pop(0)
        self._home.now_ms = time.time_ns() // 1_000_000
        if isinstance(found, str):
            self._home.bury(message, bytes(raw), UnreadableRecord(found), ticket)
        else:
            open_again(self._home, record, raw, found, message.stream_seq, ticket)
        self._work()

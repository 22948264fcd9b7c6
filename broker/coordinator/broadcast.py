"""A broadcast: one event for whoever waits for it, given to the runs of a partition one after the other.

Which runs wait is decided at the event's place in the WAL, by their state there; so every owner comes to the same ones. Each gets a
record of its own, which is in its journal as if it had been sent to it alone.

A hundred thousand runs take seconds, so it gives way to the loop: heartbeats, timers and other partitions go on. Of its own partition
nothing is taken in before it is through, so the order of the WAL holds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakSet

import msgspec
import structlog

from ...schemas import records as rec
from ...schemas.codec import encode_record
from ..engine.event_waits import hears
from .acknowledged import Ticket

if TYPE_CHECKING:
    from .partition import Partition

TURN_S = 0.005
"""Of all partitions in this process together: an event is on its way in each of them at the same time."""

log = structlog.get_logger("jetfleet.coordinator")
_under_way: WeakSet[Broadcast] = WeakSet()
"""Those that have had a turn and are not through."""


class Broadcast:
    """`home` is the partition, `seq` the event's place in its WAL."""

    def __init__(self, home: Partition, record: rec.EventReceived, seq: int, ticket: Ticket) -> None:
        self._home, self._record, self._seq, self._ticket = home, record, seq, ticket
        self._left = iter(home.awaited.candidates(record.event, record.payload))

    def go_on(self) -> bool:
        """Tell runs of it for the length of a turn. True: all have been told."""
        ends_at = time.monotonic() + TURN_S / max(1, len(_under_way))
        for id in self._left:
            try:
                self._tell(id)
            except Exception as error:  # what goes wrong for one run must not keep the event from the others
                where = self._home.number
                log.error("an event cannot be given to a run: a defect of jetfleet", run=id, partition=where, exc_info=error)
            if time.monotonic() >= ends_at:
                _under_way.add(self)
                return False
        _under_way.discard(self)
        return True

    def _tell(self, id: str) -> None:
        home, record = self._home, self._record
        run = home.runs.get(id)
        if run is None or home.ahead.get(id, 0) >= self._seq or not hears(run.run, record.event, record.payload):
            return
        own = msgspec.structs.replace(record, run=id)
        home.decide(run, own, encode_record(own), self._seq, self._ticket)

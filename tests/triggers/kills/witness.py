"""The witness: sees what is published as events and to the WAL when it is published, and the journals of the runs when they have ended.

The WAL itself may be purged behind a snapshot before anybody has read it. A copy of what is published to it tells of every run that began, and
perhaps of one whose record was refused; the history, of those that were runs indeed, with the record that each began with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from jetfleet.broker.client import Connection, Message, Tail
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import decode_batch, decode_record
from jetfleet.schemas.messages import BatchedEvent, Part
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import Record, RunStarted

from ...fleet.following import Following
from .ledger import UNNUMBERED, Begun


class Witness(Following):
    """`number`: what a payload is about. `runs`: that have begun. `published`: how often an event of each thing was."""

    def __init__(self, connection: Connection, number: Callable[[Any], int]) -> None:
        super().__init__()
        self.runs: set[str] = set()
        self.begun: set[Begun] = set()
        self.ended: set[str] = set()
        self.published: Counter[int] = Counter()
        self._connection, self._number = connection, number
        self._firsts: dict[str, set[bytes]] = {}
        self._tails = [Tail(connection, subjects.HISTORY, 1, self._archived)]

    async def watch(self, event: str) -> None:
        """Begin to look. `event`: the subject of the events."""
        await self._connection.subscribe(event, self._event)
        await self._connection.subscribe("wal.*", self._logged)
        await self.start()

    async def caught_up(self) -> None:
        """What was published until now has been seen: the answer to a question comes after it."""
        await self._connection.streams.stream_info(subjects.EVENTS)
        await super().caught_up()

    def lives(self) -> dict[str, int]:
        """How many different first records each run has in the history."""
        return {run: len(found) for run, found in self._firsts.items()}

    def _so_far(self) -> str:
        return f": {len(self.runs)} runs, {len(self.ended)} ended"

    def _event(self, message: Message) -> None:
        for entry in messages.split(message.data):
            self.published[self._about(bytes(messages.decode(BatchedEvent, bytes(entry)).payload))] += 1

    def _logged(self, message: Message) -> None:
        for record in decode_batch(message.data)[0]:
            if isinstance(record, RunStarted):
                self._begins(record)
        self._changed.set()

    def _archived(self, message: Message) -> None:
        for raw in messages.split(message.data):
            part = messages.decode(Part, bytes(raw))
            if part.summary is not None:
                self.ended.add(part.run)
            if part.first == 0:
                first = bytes(part.records[0])
                self._firsts.setdefault(part.run, set()).add(first)
                self._begins(decode_record(first))
        self._changed.set()

    def _begins(self, record: Record) -> None:
        payload = bytes(record.payload) if isinstance(record, RunStarted) else b""
        self.runs.add(record.run)
        self.begun.add(Begun(record.run, self._about(payload)))

    def _about(self, payload: bytes) -> int:
        try:
            return self._number(decode(payload))
        except Exception:  # it is not as it was handed over: the verdict says so
            return UNNUMBERED

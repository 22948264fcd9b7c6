"""How late timers are: what came of each delay, from when it was due until its TimerFired record was stored, read from the WAL.

Due is by the records: when the run began, by the clock of the intake that started it, and its delay. Stored is the time that the server
gave the message when it took it in; it acknowledges when it is on disk. Both clocks are this machine's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from jetfleet.broker.api import Client
from jetfleet.broker.client import Message, Tail
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted, TimerFired

from .load import percentile


@dataclass(frozen=True, slots=True)
class Firing:
    """One delay that is over. Milliseconds by the wall clock."""

    due: float
    stored: float

    @property
    def late_ms(self) -> float:
        return self.stored - self.due


class Lateness:
    """An async context manager: the delays of one flow, whose events are `{"ms": …}`, from then on. `again`: fired more than once."""

    def __init__(self, client: Client, flow: str) -> None:
        self.fired: dict[str, Firing] = {}
        self.again = 0
        self._due: dict[str, float] = {}
        self._flow = flow
        self._client = client
        self._changed = asyncio.Event()
        self._tails: list[Tail] = []

    async def __aenter__(self) -> Lateness:
        for partition in range(self._client.partitions):
            stream = subjects.wal_stream(partition)
            info = await self._client.connection.streams.stream_info(stream)
            last = 0 if info is None else int(info["state"]["last_seq"])
            self._tails.append(Tail(self._client.connection, stream, last + 1, self._take))
        for tail in self._tails:
            await tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for tail in self._tails:
            await tail.stop()

    async def all_set(self, count: int) -> None:
        """Wait until so many runs have begun."""
        while len(self._due) < count:
            await self._change()

    async def all_fired(self, count: int) -> None:
        """Wait until so many delays are over."""
        while len(self.fired) < count:
            await self._change()

    def due_from(self, at_ms: float) -> list[float]:
        """How late those were that were due at this time or after it, ascending."""
        return sorted(firing.late_ms for firing in self.fired.values() if firing.due >= at_ms)

    def early(self) -> int:
        """How many were stored before they were due: it is promised that there are none."""
        return sum(firing.late_ms < 0 for firing in self.fired.values())

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take(self, message: Message) -> None:
        for record in decode_batch(message.data)[0]:
            if isinstance(record, RunStarted) and record.flow == self._flow:
                self._due.setdefault(record.run, record.at + decode(record.payload)["ms"])  # its event may come twice
            elif isinstance(record, TimerFired) and record.run in self._due:
                self.again += record.run in self.fired
                self.fired.setdefault(record.run, Firing(self._due[record.run], message.timestamp_ns / 1e6))
        self._changed.set()


def now_ms() -> float:
    return time.time() * 1e3


def shares(ascending: list[float], prefix: str) -> dict[str, float]:
    """Median, 99 % and the worst, in milliseconds."""
    if not ascending:
        return {}
    return {
        f"{prefix}_p50_ms": percentile(ascending, 0.5),
        f"{prefix}_p99_ms": percentile(ascending, 0.99),
        f"{prefix}_max_ms": round(ascending[-1], 1),
    }

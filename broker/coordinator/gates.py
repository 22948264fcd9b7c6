"""The gates of a partition: the limits that live here, each the fold of its records.

    SlotWanted, SlotReleased ─▶ gate ─▶ SlotGranted, CancelRequested into the partitions of the runs

What a record led to before (`silent_until`) has been answered; later answers go out with the ticket of their record, so whoever takes over
gives again what was not on disk. A gate that nobody holds and nobody waits for is forgotten; its entry in a snapshot is marked as gone.

Does not: find out whether holders still live (slot_audit.py), or answer questions (limit_questions.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...schemas import records as rec
from ...schemas.codec import encode_record
from ..engine.gate import Gate
from .acknowledged import Ticket

if TYPE_CHECKING:
    from .partition import Partition

_encode = msgspec.msgpack.Encoder().encode
OTHERS = "others"
NAMES_MAX = 200
"""Limits that metrics tell apart; of a deployment with more, the rest is one."""
LARGE_BYTES = 64 * 1024
OF_GATES = (rec.SlotWanted, rec.SlotReleased)


class Held:
    """A gate as its owner holds it. `at`: the WAL position of its last record; `segment`: of its latest snapshot, 0 for none."""

    __slots__ = ("at", "gate", "segment")

    def __init__(self, gate: Gate, at: int = 0, segment: int = 0) -> None:
        self.gate, self.at, self.segment = gate, at, segment


class Gates:
    """Those of one partition. `changed`: with records that are in no snapshot."""

    def __init__(self, home: Partition) -> None:
        self.changed: set[str] = set()
        self._home = home
        self._held: dict[str, Held] = {}
        self._ahead: dict[str, int] = {}

    def __iter__(self) -> Iterator[Gate]:
        """Those that are not idle."""
        return (held.gate for held in self._held.values() if not held.gate.is_idle(self._home.now_ms))

    def get(self, id: str) -> Gate | None:
        held = self._held.get(id)
        return None if held is None else held.gate

    # --- records

    def take(self, record: rec.SlotWanted | rec.SlotReleased, seq: int, ticket: Ticket) -> None:
        """Take in a record of a gate.

        One that is idle now stays until a snapshot begins: one that is being written must say that it has seen its end.
        """
        if self._ahead.get(record.run, 0) >= seq:
            self._home.counters.records_ignored += 1
            return
        held = self._held.get(record.run)
        if held is None:
            held = self._held[record.run] = Held(Gate(record.run))
        answers = held.gate.take(record)
        held.at = seq
        self.changed.add(record.run)
        if seq > self._home.silent_until:
            for answer in answers:
                self._home.outbox.record(answer.run, encode_record(msgspec.structs.replace(answer, at=self._home.now_ms)), ticket)

    def give_back(self, record: rec.SlotGranted, seq: int, ticket: Ticket) -> None:
        """A slot was granted to a run that has ended."""
        if seq > self._home.silent_until and not record.refused:
            released = rec.SlotReleased(record.limit, self._home.now_ms, record.run, record.activation, record.attempt)
            self._home.outbox.record(record.limit, encode_record(released), ticket)

    # --- snapshots

    def take_gone(self, position: int) -> list[tuple[str, int]]:
        """Forget the idle gates, at the beginning of a snapshot of that position. Returns those that have an entry, with its segment.

        A gate with records behind the position has to keep them: whoever begins there takes them in again.
        """
        idle = [held for held in self._held.values() if held.at <= position and held.gate.may_go(self._home.now_ms)]
        for held in idle:
            del self._held[held.gate.id]
            self.changed.discard(held.gate.id)
        return [(held.gate.id, held.segment) for held in idle if held.segment]

    def entry(self, id: str, segment: int, live: Counter[int]) -> tuple[str, int, bytes]:
        """Id, position and state for the segment that is being written. `live`: entries that count, by segment."""
        self.changed.discard(id)
        held = self._held[id]
        if held.segment:
            live[held.segment] -= 1
        held.segment = segment
        live[segment] += 1
        return id, held.at, _encode(held.gate.as_data())

    def in_segment(self, segment: int) -> list[str]:
        """The gates whose latest entry stands in that segment."""
        return [id for id, held in self._held.items() if held.segment == segment]

    async def adopt(self, id: str, at: int, state: bytes | list[Any], segment: int, snapshot_at: int) -> None:
        """Put a gate in from a snapshot, before the WAL is followed. Raises UnreadableRecord for what is none.

        One at which a hundred thousand wait is built in a thread: other partitions have heartbeats to send.
        """
        large = len(state) > LARGE_BYTES
        self._held[id] = Held(await asyncio.to_thread(Gate.of_data, state) if large else Gate.of_data(state), at, segment)
        if at > snapshot_at:
            self._ahead[id] = at

    def recovered(self) -> None:
        """The end of the WAL has been reached."""
        self._ahead.clear()


def by_limit(gates: Iterable[Gate], count: Callable[[Gate], int]) -> dict[str, float]:
    """What the gates of each limit come to, all keys together: a metric must not have as many labels as there are customers."""
    found: dict[str, float] = {}
    for gate in gates:
        name = ":".join(gate.id.split(":", 2)[:2])
        name = name if name in found or len(found) < NAMES_MAX else OTHERS
        found[name] = found.get(name, 0) + count(gate)
    return found

"""The log of a fleet as a test reads it: every record of every partition, the journals in the history, the dead letters.

It follows the streams from when it was made, so what is purged behind a snapshot is seen too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from jetfleet.broker.client import Connection, Message, Tail
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import decode_batch, decode_record
from jetfleet.schemas.errors import JetfleetError, UnreadableRecord
from jetfleet.schemas.messages import DeadLetter, Part, Summary
from jetfleet.schemas.records import Completion, Record, RunStarted

from .following import Following, nothing

Kind = TypeVar("Kind", bound=Record)
Key = tuple[str, str]
"""A run and an activation."""


class Log(Following):
    """`records` by run, in the order of the WAL; `durable_ns`: when the first completion of an activation was stored."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        super().__init__()
        self.records: dict[str, list[Record]] = {}
        self.durable_ns: dict[Key, int] = {}
        self.parts: dict[str, list[Part]] = {}
        self.letters: list[DeadLetter] = []
        wals = [Tail(connection, subjects.wal_stream(partition), 1, self._wal) for partition in range(partitions)]
        history = Tail(connection, subjects.HISTORY, 1, self._history, on_anew=nothing)
        self._tails = [*wals, history, Tail(connection, subjects.DEAD, 1, self._dead, on_anew=self.letters.clear)]

    async def ended(self, *runs: str, deadline_s: float = 15) -> list[Summary]:
        """Wait until all these runs are in the history with an end, and what the log has of them was read; how they ended."""
        left = set(runs)

        def none_left() -> bool:
            left.difference_update([run for run in left if self.summary(run) is not None])
            return not left

        try:
            await self.until(none_left, "the ends of runs", deadline_s)
        except AssertionError:
            open = {run: [type(record).__name__ for record in self.records.get(run, [])] for run in sorted(left)[:3]}
            raise AssertionError(f"{len(left)} of {len(runs)} runs have not ended after {deadline_s} s: {open}") from None
        with suppress(TimeoutError, JetfleetError):  # the history may have been read before the log that it came of
            async with asyncio.timeout(deadline_s):
                await self.caught_up()
        return [summary for run in runs if (summary := self.summary(run)) is not None]

    def summary(self, run: str) -> Summary | None:
        return next((part.summary for part in self.parts.get(run, []) if part.summary is not None), None)

    def journal(self, run: str) -> list[Record]:
        """The run's journal out of the history. A take-over may archive a part twice; a gap, or two that differ, is an error."""
        found: dict[int, bytes] = {}
        for part in self.parts.get(run, []):
            for place, raw in enumerate(part.records, part.first):
                assert found.setdefault(place, bytes(raw)) == bytes(raw), f"record {place} of {run} was archived in two forms"
        assert sorted(found) == list(range(len(found))), f"the journal of {run} has gaps: {sorted(found)}"
        return [decode_record(found[place]) for place in range(len(found))]

    def of(self, run: str, kind: type[Kind]) -> list[Kind]:
        """The records of one kind in a run's WAL."""
        return [record for record in self.records.get(run, []) if isinstance(record, kind)]

    @property
    def begun(self) -> set[str]:
        return {run for run, records in self.records.items() if any(type(record) is RunStarted for record in records)}

    def completions(self) -> int:
        return len(self.durable_ns)

    def reexecuted(self, executions: Path) -> list[str]:
        """Executions (lines of `f.step`) that began although a completion of their activation was on disk: it is promised that there are none."""
        lines = executions.read_text().splitlines() if executions.exists() else []
        return [line for line in lines if _late(line, self.durable_ns)]

    def _wal(self, message: Message) -> None:
        try:
            records, _ = decode_batch(message.data)
        except UnreadableRecord:
            records = []
        for record in records:
            self.records.setdefault(record.run, []).append(record)
            if type(record) is Completion:
                activation = ".".join(str(part) for part in record.activation)
                self.durable_ns.setdefault((record.run, activation), message.timestamp_ns)
        self._changed.set()

    def _history(self, message: Message) -> None:
        """What is no journal is left out: anybody may publish there, and a test about that reads on."""
        with suppress(UnreadableRecord):
            for raw in messages.split(message.data):
                part = messages.decode(Part, raw)
                self.parts.setdefault(part.run, []).append(part)
        self._changed.set()

    def _dead(self, message: Message) -> None:
        with suppress(UnreadableRecord):
            self.letters.append(messages.decode(DeadLetter, message.data))
        self._changed.set()


def _late(line: str, durable_ns: dict[Key, int]) -> bool:
    run, activation, _, _, at_ns = line.split(" ")
    return int(at_ns) > durable_ns.get((run, activation), int(at_ns))


def executed_twice(executions: Path) -> int:
    """Executions beyond the first of each activation."""
    keys = Counter(tuple(line.split(" ")[:2]) for line in executions.read_text().splitlines())
    return sum(count - 1 for count in keys.values())

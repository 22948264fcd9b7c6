"""An observer of a fleet: what is on disk since when, who is there, who owns what, read from the streams as they grow.

It only reads, and from when it was made. Times in the WAL are the server's, when it stored the message.
"""

from __future__ import annotations

import asyncio
import time

from jetfleet.broker.api import Client
from jetfleet.broker.client import Hole, Message, Tail
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import decode_batch
from jetfleet.schemas.messages import Lease, Member
from jetfleet.schemas.records import Completion, RunStarted

from .ledger import Key
from .processes import BenchmarkFailed


class Observer:
    """An async context manager.

    `durable_ns`: when the first completion of an activation was stored, by the wall clock; `begun`: the runs in the WAL. `seen`: when a
    process first said that it is there, by the monotonic clock; `owners`: who owns a partition, as members' ids; `open_runs`: by member.
    """

    def __init__(self, client: Client) -> None:
        self.durable_ns: dict[Key, int] = {}
        self.begun: set[str] = set()
        self.seen: dict[int, float] = {}
        self.ids: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.open_runs: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._client = client
        self._tails: list[Tail] = []

    async def __aenter__(self) -> Observer:
        connection = self._client.connection
        self._tails = [
            Tail(connection, subjects.FLEET, 1, self._take_member, filter_subject="member.>"),
            Tail(connection, subjects.FLEET, 1, self._take_lease, filter_subject="lease.>"),
        ]
        for partition in range(self._client.partitions):
            stream = subjects.wal_stream(partition)
            info = await connection.streams.stream_info(stream)
            last = 0 if info is None else info["state"]["last_seq"]
            self._tails.append(Tail(connection, stream, last + 1, self._take))  # what is before may have been purged
        for tail in self._tails:
            await tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for tail in self._tails:
            await tail.stop()

    async def caught_up(self) -> None:
        """Wait until all that is on disk now has been seen. Raises BenchmarkFailed if something was purged before."""
        for tail in self._tails:
            try:
                await tail.caught_up()
            except Hole as hole:
                raise BenchmarkFailed(f"the observer did not see all that happened: {hole}") from None

    async def completions(self, count: int) -> None:
        """Wait until so many activations have been completed."""
        while len(self.durable_ns) < count:
            await self._change()

    async def on_disk(self, key: Key) -> int:
        """Wait until a completion of the activation is stored; when it was, by the server's clock, in ns."""
        while key not in self.durable_ns:
            await self._change()
        return self.durable_ns[key]

    async def member(self, pid: int) -> float:
        """Wait until a process says that it is there; when it first did."""
        while pid not in self.seen:
            await self._change()
        return self.seen[pid]

    async def started(self, count: int) -> None:
        """Wait until so many runs have begun."""
        while len(self.begun) < count:
            await self._change()

    async def holds(self, pid: int, count: int) -> None:
        """Wait until a coordinator says that it holds so many open runs."""
        while self.held_by(pid) < count:
            await self._change()

    def held_by(self, pid: int) -> int:
        """How many open runs a coordinator holds, as it said last."""
        return self.open_runs.get(self.ids.get(pid, ""), 0)

    async def lost(self, partitions: set[int], pid: int) -> float:
        """Wait until the first of these partitions is owned by another process; when that was."""
        while not partitions - self.owned_by(pid):
            await self._change()
        return time.monotonic()

    def owned_by(self, pid: int) -> set[int]:
        """The partitions that a process owns."""
        return {partition for partition, owner in self.owners.items() if owner == self.ids.get(pid)}

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take(self, message: Message) -> None:
        records, _ = decode_batch(message.data)
        for record in records:
            if isinstance(record, Completion):
                activation = ".".join(str(step) for step in record.activation)
                self.durable_ns.setdefault((record.run, activation), message.timestamp_ns)
            elif isinstance(record, RunStarted):
                self.begun.add(record.run)
        self._changed.set()

    def _take_member(self, message: Message) -> None:
        member = messages.decode(Member, message.data)
        self.seen.setdefault(member.pid, time.monotonic())
        self.ids[member.pid] = member.id
        self.open_runs[member.id] = 0 if member.leaving else member.facts.get("runs", 0)
        self._changed.set()

    def _take_lease(self, message: Message) -> None:
        self.owners[int(message.subject.rpartition(".")[2])] = messages.decode(Lease, message.data).owner

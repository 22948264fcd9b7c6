"""Coordinators that share partitions and do nothing else: several in a test's loop, or one as a process that can be stopped and killed.

As a process (`python -m`, arguments: URL, number of partitions) it prints one line per event: `id …`, `gained p`, `lost p reason`, and
`woke p=held …` with what it believed to hold first thing after it was stopped for longer than its time to live.
"""

from __future__ import annotations

import asyncio
import sys
import time
from types import TracebackType

from jetfleet.broker.client import Connection
from jetfleet.broker.fleet.leases import Leases
from jetfleet.broker.fleet.membership import COORDINATOR, Membership


class Coordinator:
    """`owned`: what on_gained and on_lost said, in order of arrival."""

    def __init__(self, url: str, partitions: int, peers: list[Coordinator] | None = None, beat_ms: int | None = None) -> None:
        self._url, self._partitions, self._beat_ms = url, partitions, beat_ms
        self.peers = [] if peers is None else peers
        self.owned: set[int] = set()
        self.lost: list[tuple[int, str]] = []
        self.clashes: list[int] = []
        self.letting_go, self.may_let_go = asyncio.Event(), asyncio.Event()
        self.may_let_go.set()

    async def __aenter__(self) -> Coordinator:
        self.connection = await Connection.open(self._url, name="coordinator")
        self.membership = Membership(self.connection, COORDINATOR, beat_ms=self._beat_ms)
        self.leases = Leases(self.connection, self.membership, self._partitions, self._gained, self._lost)
        self.peers.append(self)
        await self.membership.start()
        await self.leases.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.leave()

    async def leave(self) -> None:
        await self.leases.stop()
        await self.membership.stop()
        await self.connection.close()

    async def _gained(self, partition: int) -> None:
        self.clashes += [partition for peer in self.peers if peer is not self and peer.leases.holds(partition)]
        self.owned.add(partition)

    async def _lost(self, partition: int, reason: str) -> None:
        self.letting_go.set()
        await self.may_let_go.wait()
        self.owned.discard(partition)
        self.lost.append((partition, reason))


async def _process(url: str, partitions: int) -> None:
    async def gained(partition: int) -> None:
        print(f"gained {partition}", flush=True)

    async def lost(partition: int, reason: str) -> None:
        print(f"lost {partition} {reason}", flush=True)

    connection = await Connection.open(url, name="coordinator")
    membership = Membership(connection, COORDINATOR)
    leases = Leases(connection, membership, partitions, gained, lost)
    await membership.start()
    print(f"id {membership.id}", flush=True)
    await leases.start()
    before = time.monotonic()
    while True:  # so closely that it is one of the first things to run after a stop
        await asyncio.sleep(0.001)
        if time.monotonic() - before > membership.ttl_s:
            print(f"woke {sum(leases.holds(partition) for partition in range(partitions))}", flush=True)
        before = time.monotonic()


if __name__ == "__main__":
    asyncio.run(_process(sys.argv[1], int(sys.argv[2])))

"""The kafka trigger: each record of the topics is a firing.

    brokers ─▶ Group (membership, offsets) ─▶ Reading (record → firing) ─▶ supervisor ─▶ confirm ─▶ offset may be committed

Guarantees: a record's offset is committed only after its event is on disk, so whatever process dies, the record comes again, under the same
key: it is one run. Within a partition records are fired in order. Does not: keep that order among runs, which go on side by side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ...broker.kafka import KafkaUnusable, connection_options, library
from ...broker.secrets import SecretMissing
from ...broker.triggers.firing import Fate, Firing
from ...broker.triggers.source import Site, Source, SourceBroken, Spec
from ...schemas.flow.triggers.kafka import KafkaParams
from .offsets import Offsets
from .records import Reading

if TYPE_CHECKING:
    from .group import Group

KEEP_S = 1.0
"""For so long what has been fetched ahead is kept while nothing is wanted; holding the partitions throws it away."""
BREATH_S = 1.0


class KafkaSource(Source):
    """One per group and topics; as many processes as there are partitions may share the work."""

    def __init__(self, spec: Spec, site: Site) -> None:
        self._params: KafkaParams = spec.params
        self.in_flight_max = self._params.max_in_flight
        self._group: Group | None = None
        self._ready: deque[tuple[Offsets, Any]] = deque()
        self._some = asyncio.Event()
        """There are records, or the reading has come to an end."""
        self._asked = self._paused = False
        self._wanted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def firings(self) -> AsyncIterator[Firing]:
        group, reading = self._prepared()
        await group.join()
        self._reading = asyncio.get_running_loop().create_task(self._read(group), name=f"kafka {self._params.group_id}")
        self._reading.add_done_callback(lambda _: self._some.set())
        while True:
            while self._ready:
                partition, record = self._ready.popleft()
                if not partition.revoked:
                    partition.fired(record.offset)
                    yield reading.firing(record, (partition, record.offset))
            if self._reading.done():
                self._reading.result()
            self._ask(True)
            await self._some.wait()
            self._some.clear()
            self._ask(False)

    def confirm(self, firing: Firing, fate: Fate) -> None:
        if self._group is not None:
            self._group.confirmed(*firing.token)

    def pause(self) -> None:
        self._paused = True
        self._weigh()

    def resume(self) -> None:
        self._paused = False
        self._weigh()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._group is not None:
            await self._group.leave()

    def status(self) -> str:
        topics = self._params.pattern or ", ".join(self._params.topics)
        count = 0 if self._group is None else len(self._group.partitions)
        return f"{topics} as {self._params.group_id}, {count} {'partition' if count == 1 else 'partitions'}"

    # --- made

    def _prepared(self) -> tuple[Group, Reading]:
        """Raises SourceBroken for whatever somebody has to do first."""
        reading = Reading(self._params)
        try:
            library()
            options = connection_options(self._params.brokers, self._params.security)
        except (KafkaUnusable, SecretMissing) as error:
            raise SourceBroken(str(error)) from None
        from .group import Group

        self._group = Group(self._params, options)
        return self._group, reading

    # --- read ahead, by a task of its own: the group must be polled while nobody asks for firings

    async def _read(self, group: Group) -> None:
        while True:
            if not await self._wanted_within(KEEP_S):
                await self._hold(group)
            self._take(await group.poll())

    async def _hold(self, group: Group) -> None:
        group.hold()
        while not await self._wanted_within(BREATH_S):
            self._take(await group.poll(0))
        group.release()

    async def _wanted_within(self, seconds: float) -> bool:
        if self._wanted.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return False
        return True

    def _take(self, records: list[tuple[Offsets, Any]]) -> None:
        if records:
            self._ready.extend(records)
            self._some.set()
            self._wanted.clear()

    def _ask(self, asked: bool) -> None:
        self._asked = asked
        self._weigh()

    def _weigh(self) -> None:
        if self._asked and not self._paused and not self._ready:
            self._wanted.set()
        else:
            self._wanted.clear()

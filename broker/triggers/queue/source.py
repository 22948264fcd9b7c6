"""The queue source: messages of a queue, or on subjects, become firings.

    QUEUE_<name> ─┐
                  ├─ pull, no more than there is room for ──▶ firing for each trigger that it is for ──▶ confirmed: acknowledged
    INBOX ────────┘                                      ╲─▶ nobody listens to its subject: a dead letter, NO_FLOW         │
          ▲                                                                                                                ▼
          └──────────────────── cleared every few ms, many at a time ─────────────────────────────────────────────────────┘

Guarantees: a message leaves the server only when it is an event of each trigger that it is for, or a dead letter. All who serve the same
queue share one consumer: what one of them had taken when it died comes to another 2 s later, under the same key, and is the same run.
While it is paused nothing is taken: a queue fills up to its capacity and then refuses.
Does not: keep the order of messages when one of them comes a second time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import structlog

from ....schemas import subjects
from ....schemas.flow.triggers.queue import QueueParams
from ...client import BrokerError, Message, Pull, StreamFull
from ...queues import CONSUMER, capacities, ensure_consumer, ensure_inbox, ensure_queue, of_queue, on_subject
from ...store_size import StoreTooSmall
from ..firing import Fate, Firing
from ..source import Site, Source, SourceBroken, SourceFailed, Spec
from .clearing import Clearing
from .reading import firing_of
from .unrouted import bury

HELD_EVERY_S = 0.6
"""How often the server is told that what is taken is not forgotten: a third of the consumer's `ack_wait`."""
AGAIN_S = 0.25
NOBODY_S = 1.0
"""After so long a message comes again whose flows were undeployed when it came."""
ROUTES_KEPT = 4_096
log = structlog.get_logger("jetfleet.triggers")


class QueueSource(Source):
    """Serves one queue, or the messages on all subjects that flows listen to."""

    def __init__(self, spec: Spec, site: Site) -> None:
        params: QueueParams = spec.params
        self._queue = params.queue(*spec.triggers[0])
        self._stream = subjects.INBOX if self._queue is None else subjects.queue_stream(self._queue)
        self._client = site.client
        self._waiting: deque[Message] = deque()
        self._held: dict[Message, float] = {}
        """What is taken and not settled, and since when."""
        self._arrived = asyncio.Event()
        self._turned = asyncio.Event()
        self._paused = False
        self._pull: Pull | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._routes: dict[str, tuple[tuple[str, str], ...]] = {}
        self._capacity = 0
        self._clearing = Clearing(site.client.connection, self._stream)
        self._failure: BaseException | None = None
        self.unrouted = 0
        """Messages that nobody listened to."""

    async def firings(self) -> AsyncIterator[Firing]:
        await self._ensure()
        self._client.flows.on_change.append(self._flow_changed)
        for work in (self._keep_pulling(), self._hold(), self._clearing.run()):
            self._spawn(work, vital=True)
        self._turned.set()
        while True:
            while not self._waiting:
                if self._failure is not None:
                    raise SourceFailed(f"{self._stream} is not read any more: {self._failure!r}") from self._failure
                self._arrived.clear()
                await self._arrived.wait()
            for message in await self._routable():
                listening = self._listening(message)
                if listening:
                    yield firing_of(message, listening)
                else:
                    self._unlistened(message)

    async def _routable(self) -> Iterator[Message]:
        """The messages that are here now. What was deployed before they were sent is known when this returns, also after a cut."""
        count = len(self._waiting)
        while True:
            try:
                await self._client.flows.caught_up()
                break
            except BrokerError as error:
                log.debug("it is not known who listens", stream=self._stream, reason=str(error))
                await asyncio.sleep(AGAIN_S)
        return (self._waiting.popleft() for _ in range(count) if self._waiting)

    def confirm(self, firing: Firing, fate: Fate) -> None:
        self._settle(firing.token)

    async def close(self) -> None:
        if self._flow_changed in self._client.flows.on_change:
            self._client.flows.on_change.remove(self._flow_changed)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._paused = True
        await self._stop_pulling()
        for message in self._held:  # whoever serves it next need not wait
            message.give_back()
        self._held.clear()

    def pause(self) -> None:
        self._paused = True
        self._give_back()
        self._turned.set()

    def resume(self) -> None:
        self._paused = False
        self._turned.set()

    def status(self) -> str:
        place = f"queue {self._queue}, {self._capacity:,} at most" if self._queue is not None else "subjects, by pattern"
        return place + (f"; {self.unrouted:,} messages were for nobody" if self.unrouted else "")

    # --- the stream

    async def _ensure(self) -> None:
        """Make what is missing. Raises SourceFailed, SourceBroken."""
        try:
            await self._make()
        except (StoreTooSmall, StreamFull) as error:
            raise SourceBroken(str(error)) from error
        except BrokerError as error:
            raise SourceFailed(str(error)) from error

    async def _make(self) -> None:
        if self._queue is None:
            await ensure_inbox(self._client.connection)
        else:
            self._capacity = capacities(self._client.flows).get(self._queue, self._capacity)
            await ensure_queue(self._client.connection, self._queue, self._capacity or None)
        await ensure_consumer(self._client.connection, self._stream)

    def _flow_changed(self, flow: str) -> None:
        self._routes.clear()
        self._turned.set()

    async def _resize(self) -> None:
        """Give the queue the capacity that is deployed now, if that is another one."""
        if self._queue is None or capacities(self._client.flows).get(self._queue, self._capacity) == self._capacity:
            return
        try:
            await self._make()
        except (BrokerError, StoreTooSmall) as error:
            log.warning("a queue does not get its capacity yet", queue=self._queue, reason=str(error))
            self._capacity = 0  # so that it is tried again
            asyncio.get_running_loop().call_later(NOBODY_S, self._turned.set)

    # --- taking

    async def _keep_pulling(self) -> None:
        """Pull unless it is paused, and keep the queue's capacity as deployed."""
        while True:
            await self._turned.wait()
            self._turned.clear()
            if self._paused:
                await self._stop_pulling()
            elif self._pull is None:
                self._pull = Pull(self._client.connection, self._stream, CONSUMER, self._take, room=self._room, repair=self._make)
                await self._pull.start()
            await self._resize()

    async def _stop_pulling(self) -> None:
        if self._pull is not None:
            pull, self._pull = self._pull, None
            await pull.stop()
        self._give_back()

    def _room(self) -> int:
        return max(0, self.in_flight_max - len(self._held))

    def _take(self, message: Message) -> None:
        if self._paused:
            message.give_back()
            return
        self._held[message] = time.monotonic()
        self._waiting.append(message)
        self._arrived.set()

    def _give_back(self) -> None:
        """What is taken and was not fired."""
        while self._waiting:
            message = self._waiting.popleft()
            self._held.pop(message, None)
            message.give_back()

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(HELD_EVERY_S)
            since = time.monotonic() - HELD_EVERY_S
            for message in [message for message, taken_at in self._held.items() if taken_at <= since]:
                await message.in_progress()

    def _settle(self, message: Message) -> None:
        if self._held.pop(message, None) is not None:
            message.done()
            self._clearing.settled(message.stream_seq)
            if self._pull is not None:
                self._pull.wake()

    # --- who it is for

    def _listening(self, message: Message) -> tuple[tuple[str, str], ...]:
        found = self._routes.get(message.subject)
        if found is None:
            flows = self._client.flows
            found = on_subject(flows, message.subject.removeprefix("on.")) if self._queue is None else of_queue(flows, self._queue)
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()
            self._routes[message.subject] = found
        return found

    def _unlistened(self, message: Message) -> None:
        if self._queue is None:
            self._spawn(self._bury(message))
        else:  # its last flow has just gone: it waits for the next one
            self._later(message)

    async def _bury(self, message: Message) -> None:
        try:
            await self._client.flows.caught_up()  # a flow may have been deployed before it was sent, and not be known here yet
            self._routes.pop(message.subject, None)
            if self._listening(message):
                self._waiting.append(message)
                self._arrived.set()
                return
            await bury(self._client.connection, message)
        except BrokerError:
            self._later(message)
            return
        self.unrouted += 1
        self._settle(message)

    def _later(self, message: Message) -> None:
        """It comes again in a while, to whoever serves the queue then."""
        self._held.pop(message, None)
        self._spawn(message.nak(NOBODY_S))

    def _spawn(self, work: Coroutine[Any, Any, None], *, vital: bool = False) -> None:
        """`vital`: without it nothing goes on; a failure is the source's."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._vital_ended if vital else self._tasks.discard)

    def _vital_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._failure = task.exception()
            self._arrived.set()

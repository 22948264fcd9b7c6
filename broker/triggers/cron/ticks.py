"""The ticks of all cron triggers that this process serves: one pull for all of them, since there may be thousands.

Guarantees: a tick that came here is with its source until that lets go of it, and the server hears that it is; it comes to another process
soon after this one has died. A tick of a trigger that is deployed nowhere any more is dropped, and with it the end of its chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import structlog

from ....schemas import subjects
from ...api.client import Client
from ...client import BrokerError, Message, Pull
from ...deployment import ensure_ticks
from ...topology import TICKS
from .wanted import is_wanted

HELD_MAX = 256
HELD_EVERY_S = 0.6
"""How often the server hears that ticks are not forgotten; less than a third of the consumer's `ack_wait`."""
ELSEWHERE_S = 0.5
"""After so long a tick that has no source here is offered again, perhaps to another process."""
log = structlog.get_logger("jetfleet.triggers")

Take: TypeAlias = Callable[[Message], None]


class Ticks:
    """`start` may be called by every source."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sources: dict[str, Take] = {}
        self._held: dict[Message, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pull: Pull | None = None

    async def start(self) -> None:
        if self._pull is None:
            connection = self._client.connection
            self._pull = Pull(connection, subjects.TIMERS, TICKS, self._take, room=self._room, repair=self._repair)
            self._spawn(self._say_held())
            await self._pull.start()

    async def close(self) -> None:
        for task in list(self._tasks):  # first of all nobody says any more that a tick is not forgotten
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pull is not None:
            await self._pull.stop()
        for message in self._held:
            message.give_back()
        self._held.clear()

    def listen(self, flow: str, trigger: str, take: Take) -> None:
        """From now on ticks of the trigger go to `take`, which lets go of each by `ack` or `again`."""
        self._sources[subjects.tick(flow, trigger)] = take

    def leave(self, flow: str, trigger: str) -> None:
        """No more ticks go there. Those that it still has it may let go of, until `give_back`."""
        self._sources.pop(subjects.tick(flow, trigger), None)

    def give_back(self, flow: str, trigger: str) -> None:
        """Whatever of the trigger is still held comes again, to whoever serves it then. For who has left."""
        subject = subjects.tick(flow, trigger)
        for message in [each for each in self._held if each.subject == subject]:
            self._let_go(message)
            message.give_back()

    async def ack(self, message: Message) -> None:
        self._let_go(message)
        await message.ack()

    async def again(self, message: Message, delay_s: float = 0) -> None:
        """Not now."""
        self._let_go(message)
        await message.nak(delay_s)

    def _take(self, message: Message) -> None:
        self._held[message] = None
        take = self._sources.get(message.subject)
        if take is not None:
            take(message)
        else:
            self._spawn(self._without_source(message))

    async def _without_source(self, message: Message) -> None:
        _, _, name = message.subject.partition(".")
        flow, _, trigger = name.partition(".")
        try:
            await self._client.flows.caught_up()  # it may have been deployed a moment ago
            wanted = is_wanted(self._client.flows, flow, trigger)
        except BrokerError:
            wanted = True
        if wanted:
            await self.again(message, ELSEWHERE_S)
        else:
            log.info("a time of a cron trigger that is not deployed any more is dropped", flow=flow, trigger=trigger)
            await self.ack(message)

    def _room(self) -> int:
        return HELD_MAX - len(self._held)

    def _let_go(self, message: Message) -> None:
        self._held.pop(message, None)
        if self._pull is not None:
            self._pull.wake()

    async def _say_held(self) -> None:
        while True:
            await asyncio.sleep(HELD_EVERY_S)
            for message in list(self._held):
                await message.in_progress()

    async def _repair(self) -> None:
        await ensure_ticks(self._client.connection)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

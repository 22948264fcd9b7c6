"""The source of a cron trigger. Every coordinator has one; the server has the clock and gives each tick to one of them.

    tick ─▶ missed? paused? does the run before it still go on? ─▶ firing ─▶ event on disk ─▶ next link of the chain ─▶ ack

Guarantees: a time that is to be a run becomes one, whatever dies at whatever moment: what was not finished comes again, as the same tick
and with the same key. The next time follows from the scheduled one, not from any clock, so a clock that is set loses and doubles nothing.
What was decided about a time (left out, made up for, waiting) is in the chain before anything follows from it.
Does not: fire more precisely than the server, which is up to 0.3 s late.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import structlog

from ....schemas import subjects
from ....schemas.errors import UnreadableRecord
from ....schemas.flow.triggers.cron import CronParams
from ...api.client import Client
from ...client import BrokerError, ConnectionClosed, Message
from ...fleet.roll_call import server_time_ns
from ..firing import Fate, Firing
from ..source import Site, Source, Spec
from .chain import NOTHING, Chain, read
from .missed import caught_up, is_missed, skipped
from .runs import RunState, state
from .schedule import Times, jitter_ms
from .tick import Tick, key, milliseconds, moment
from .ticks import Ticks
from .wanted import is_paused, is_wanted, wanted_params

SHARED = "ticks of cron triggers"
MEND_S, MEND_FIRST_S = 60.0, 2.0
"""How often it is made sure that the chain is there. Soon after the start once more: the one who left may have been taking it away."""
AGAIN_S, AGAIN_MAX_S = 0.25, 5.0
RETRY_S = 1.0
LAST_WORDS_S, REMOVAL_S = 1.0, 1.0
"""How long a source that is closed waits for what it has begun to write, and for its schedule to be taken away: less together than the
supervisor lets it be."""
TRUSTED_EARLY_MS, TRUSTED_LATE_MS = 500, 5_000
"""A tick that seems to be this early or late asks the server for the time: more likely than not a clock was set."""
log = structlog.get_logger("jetfleet.triggers")


class CronSource(Source):
    """`clock` gives ms since the epoch. `skipped`: how many times were left out here because a run was still open."""

    in_flight_max = 1

    def __init__(self, spec: Spec, site: Site, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        ((self._flow, self._trigger),) = spec.triggers
        self._client: Client = site.client
        self._shared = site.shared
        self._params: CronParams = spec.params
        self._times = Times(spec.params)
        self._zone = ZoneInfo(spec.params.timezone)
        self._clock = clock
        self._chain = Chain(site.client.connection, self._flow, self._trigger)
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self._mine: set[Message] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._mending: asyncio.Task[None] | None = None
        self._ticks: Ticks | None = None
        self._next = 0
        self.skipped = 0
        self._log = log.bind(flow=self._flow, trigger=self._trigger)

    async def firings(self) -> AsyncIterator[Firing]:
        self._ticks = await self._shared.use(SHARED, lambda: Ticks(self._client))
        self._ticks.listen(self._flow, self._trigger, self._take)
        await self._ticks.start()
        self._mending = asyncio.get_running_loop().create_task(self._keep_mended(), name=f"cron {self._flow}.{self._trigger}")
        while True:
            message = await self._arrived.get()
            try:
                firing = await self._firing(message)
            except BrokerError as error:
                self._log.warning("a time cannot be looked at yet", reason=str(error))
                await self._again(message, RETRY_S)
                continue
            if firing is not None:
                yield firing

    def confirm(self, firing: Firing, fate: Fate) -> None:
        message, tick, begun = firing.token
        self._spawn(self._go_on(message, self._after(tick, begun)))

    async def close(self) -> None:
        """Whatever the server answers or does not, nothing is held any more then."""
        if self._ticks is None:
            return
        self._ticks.leave(self._flow, self._trigger)
        try:
            if self._mending is not None:
                self._mending.cancel()
                await asyncio.gather(self._mending, return_exceptions=True)
            await self._last_words()
            if await self._removed():
                for message in list(self._mine):
                    await self._ack(message)
        finally:
            self._ticks.give_back(self._flow, self._trigger)
            await self._shared.leave(SHARED)

    def status(self) -> str:
        return ", ".join(filter(None, (self._following(), f"{self.skipped} skipped" if self.skipped else "")))

    def _following(self) -> str:
        """What is scheduled; if its time has come, what comes after that."""
        now = self._clock()
        if not self._next or is_paused(self._client.flows, self._flow, self._trigger):
            return ""
        if self._next > now:
            return f"next at {key(self._next)}"
        following = self._times.next(moment(now))
        return "" if following is None else f"next at {key(milliseconds(following))}"

    # --- a tick

    def _take(self, message: Message) -> None:
        self._mine.add(message)
        self._arrived.put_nowait(message)

    async def _firing(self, message: Message) -> Firing | None:
        """What becomes of a tick: a firing, or something else that is done here."""
        try:
            tick = read(message.data)
        except UnreadableRecord as error:
            self._log.warning("a tick that cannot be read is dropped", reason=str(error))
            await self._ack(message)
            await self._mend()
            return None
        if tick.identity != self._times.identity:
            await self._of_another_schedule(message)
            return None
        if is_paused(self._client.flows, self._flow, self._trigger):
            await self._wait(message, tick, waiting=tick.held or tick.is_decided, marked=msgspec.structs.replace(tick, held=True))
            return None
        now = await self._now(self._due(tick))
        if is_missed(tick, self._params, now):
            await self._catch_up(message, tick, now)
            return None
        if not await self._may_run(message, tick, now):
            return None
        return self._firing_of(message, tick, now)

    def _firing_of(self, message: Message, tick: Tick, now: datetime) -> Firing:
        scheduled = key(tick.at)
        payload = {"scheduled_at": scheduled, "local_time": tick.time.astimezone(self._zone).isoformat()}
        meta = {
            "scheduled_at": scheduled, "schedule": self._times.of(tick.time), "timezone": self._params.timezone,
            "late_ms": max(0, milliseconds(now) - self._due(tick)), "missed": tick.missed,
        }  # fmt: skip
        return Firing(scheduled, payload, meta, (message, tick, milliseconds(now)))

    async def _of_another_schedule(self, message: Message) -> None:
        """One of us has an old version of the flow. If it is the other, its chain has been replaced, or is now."""
        if await self._is_current():
            await self._mend()
            await self._ack(message)
        else:
            await self._again(message, AGAIN_S)

    async def _catch_up(self, message: Message, tick: Tick, now: datetime) -> None:
        found = await asyncio.to_thread(caught_up, tick, self._params, now)  # thousands of times may have to be worked out
        self._log.info(
            "times of a cron trigger were missed", first=key(tick.at), catch_up=self._params.catch_up,
            goes_on_at=key(found.at) if found is not None else "never", left_out=(found.missed if found is not None else 0) - tick.missed,
        )  # fmt: skip
        await self._move(message, found)

    async def _now(self, due: int) -> datetime:
        """By the server's clock, which is asked where ours seems strange: a tick that comes early is still a tick, and none is late because
        our clock was set."""
        ours = self._clock()
        if -TRUSTED_EARLY_MS <= ours - due <= TRUSTED_LATE_MS:
            return moment(ours)
        return moment(await server_time_ns(self._client.connection) // 1_000_000)

    # --- runs do not overlap

    async def _may_run(self, message: Message, tick: Tick, now: datetime) -> bool:
        """False: it was left out, or waits."""
        overlap = self._params.overlap
        if overlap == "allow" or tick.previous in (0, tick.at):
            return True
        run = subjects.run_id(self._flow, f"{self._trigger}/{key(tick.previous)}")
        found = await state(self._client, run, self._flow, self._trigger)
        if found is RunState.OVER:
            return True
        if found is RunState.UNSURE:
            await self._again(message, RETRY_S)
            return False
        if overlap == "queue" or (overlap == "skip" and tick.is_decided):  # what is made up for is not left out after all
            await self._wait(message, tick, waiting=tick.is_decided, marked=msgspec.structs.replace(tick, until=tick.at))
            return False
        if overlap == "skip":
            await self._skip(message, tick, now, run)
            return False
        await self._client.cancel(run, f"trigger {self._trigger!r} fired again at {key(tick.at)}")
        return True

    async def _skip(self, message: Message, tick: Tick, now: datetime, run: str) -> None:
        """What passed until now finds the run open too."""
        following = await asyncio.to_thread(skipped, tick, self._params, now)
        self.skipped += (following.missed if following is not None else tick.missed + 1) - tick.missed
        self._log.info(
            "a time is skipped: the run before it is still open", at=key(tick.at), run=run,
            goes_on_at=key(following.at) if following is not None else "never",
        )  # fmt: skip
        await self._move(message, following)

    async def _wait(self, message: Message, tick: Tick, *, waiting: bool, marked: Tick) -> None:
        """The tick comes again, for as long as need be. That it waits is written down first: it is not late by itself then."""
        if waiting:
            await self._again(message, min(AGAIN_S * message.delivered, AGAIN_MAX_S))
        else:
            await self._move(message, marked)

    # --- the chain

    def _after(self, tick: Tick, begun: int) -> Tick | None:
        """The tick after one that became a run at `begun`."""
        following = self._times.next(tick.time)
        if following is None:
            return None
        at = milliseconds(following)
        return msgspec.structs.replace(tick, at=at, previous=tick.at, missed=0, held=False, begun=begun if at <= begun else 0)

    async def _move(self, message: Message, tick: Tick | None) -> None:
        """Set the next link, then let go of this tick. A link that is there already was set by who had the same tick, or for a newer
        version of the flow."""
        if tick is not None:
            await self._chain.set(tick, self._due(tick), NOTHING)
            self._next = tick.at
        await self._ack(message)

    async def _go_on(self, message: Message, tick: Tick | None) -> None:
        """As `_move`, until it works."""
        while True:
            try:
                await self._move(message, tick)
                return
            except ConnectionClosed:
                return
            except BrokerError as error:
                self._log.warning("the next time cannot be scheduled yet", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _keep_mended(self) -> None:
        pause_s = MEND_FIRST_S
        while True:
            try:
                await self._mend()
            except BrokerError as error:
                self._log.warning("it cannot be made sure that the trigger is scheduled", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = MEND_S

    async def _mend(self) -> None:
        """Make sure that there is a link of this schedule, or a tick on its way: else it would never fire again."""
        while True:
            link = await self._chain.link()
            known = link.tick or (await self._chain.fired()).tick
            if known is not None and known.identity == self._times.identity:
                self._next = known.at
                return
            if not await self._is_current():
                return
            now = moment(await server_time_ns(self._client.connection) // 1_000_000)
            first = self._times.next(now)
            if first is None:
                await self._chain.remove(link)
                return
            previous = known.previous if known is not None else 0
            tick = Tick(milliseconds(first), self._times.identity, previous)
            if await self._chain.set(tick, self._due(tick), link.seq):
                self._next = tick.at
                self._log.info("a cron trigger is scheduled", at=key(tick.at))
                return

    async def _is_current(self) -> bool:
        """Whether this source has the params that are deployed now. If not, another one will be made soon, here and elsewhere."""
        await self._client.flows.caught_up()
        return wanted_params(self._client.flows, self._flow, self._trigger) == self._params

    async def _removed(self) -> bool:
        """Take the chain away if the trigger is gone or disabled. Who merely ends leaves it to the others."""
        if is_wanted(self._client.flows, self._flow, self._trigger):
            return False
        try:
            async with asyncio.timeout(REMOVAL_S):
                links = [await self._chain.link(), await self._chain.fired()]
                await self._client.flows.caught_up()
                if is_wanted(self._client.flows, self._flow, self._trigger):
                    return False  # deployed again meanwhile
                for link in links:
                    await self._chain.remove(link)
        except (BrokerError, TimeoutError) as error:
            self._log.warning("the schedule may be left behind; it ends with its next time", reason=repr(error))
            return False
        return True

    def _due(self, tick: Tick) -> int:
        return tick.at + jitter_ms(self._params, f"{self._flow}.{self._trigger}", tick.time)

    # --- messages and tasks

    async def _ack(self, message: Message) -> None:
        self._mine.discard(message)
        if self._ticks is not None:
            await self._ticks.ack(message)

    async def _again(self, message: Message, delay_s: float = 0) -> None:
        self._mine.discard(message)
        if self._ticks is not None:
            await self._ticks.again(message, delay_s)

    async def _last_words(self) -> None:
        """What is being written is finished, or comes again."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

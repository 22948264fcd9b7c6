"""Elsewhere: tasks that wait near the arenas of other hosts, and that nobody there takes.

A task whose payloads lie on a host waits on a subject of that host (`tasks.<queue>.<host>`), which its workers pull from. Each worker
looks now and then what lies on such subjects of its own queues, and takes

    what has lain there since its last look        the host is busy, or slow
    what was delivered and came back               its worker there died
    everything, at once                            no live worker announces the host

as far as it has room. So no task depends on a host, not even if the subject's consumer went with a server's memory: who finds tasks without
one makes it. Fetching their payloads costs time, but less than lying there.

A look costs one question, and two for each of at most SUBJECTS_MAX subjects with tasks; who has no room does not look.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from time import monotonic
from typing import Any

import msgspec
import structlog

from ...broker.client import BrokerError, Connection, Message, NotFound, Subscription
from ...broker.client.wire import encode_publish
from ...broker.deployment import ensure_queue
from ...broker.fleet.arenas import Served, arenas
from ...broker.fleet.membership import Membership
from ...broker.topology import queue_consumer
from ...schemas import subjects

LOOK_S = 0.25
"""Between two looks. What lies there is taken after one to two of them."""
JITTER = 0.2
"""Share of LOOK_S: workers that started together must not look together."""
SUBJECTS_MAX = 4
"""How many subjects one look goes into. Where there are more, they take turns, and other workers look too."""

_log = structlog.get_logger("jetfleet.worker")


@dataclass(frozen=True, slots=True)
class Place:
    """Tasks of a queue near the arena of a host."""

    queue: str
    host: str

    @property
    def consumer(self) -> str:
        return queue_consumer(self.queue, self.host)


@dataclass(frozen=True, slots=True)
class Look:
    """What a consumer said: `pending` messages that were never delivered, `delivered` deliveries so far. `at`: monotonic seconds."""

    at: float
    pending: int
    delivered: int


class Elsewhere:
    """`take` begins with a message and never blocks; `room` says how many more may come. `host`: the own arena, whose tasks come anyway."""

    def __init__(
        self,
        connection: Connection,
        membership: Membership,
        queues: Sequence[str],
        host: str,
        take: Callable[[Message], None],
        room: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._membership = membership
        self._queues = frozenset(queues)
        self._host = host
        self._take = take
        self._room = room
        self._inbox = f"{connection.credentials.inbox}.{token_hex(11)}"
        self._asks = 0
        self._looks: dict[Place, Look] = {}
        self._subscription: Subscription | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Look from now on."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_message)
        self._looking = asyncio.get_running_loop().create_task(self._look_often())

    async def stop(self) -> None:
        """Take no more. What still arrives is given back; after this returns, nothing does."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            with contextlib.suppress(BrokerError):
                await subscription.stop()

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S * random.uniform(1 - JITTER, 1 + JITTER))
            if self._room() <= 0 or not self._connection.is_connected:
                continue
            try:
                await self._look()
            except BrokerError as error:
                _log.debug("it is not known what waits near other hosts", reason=str(error))
            except Exception:  # whatever it is, tasks must not lie there for ever
                _log.exception("a defect of jetfleet: cannot look for tasks near other hosts")

    async def _look(self) -> None:
        places = await self._places()
        self._looks = {place: look for place, look in self._looks.items() if place in places}
        served = arenas(self._membership)
        asked = 0
        for place in self._in_turn(places, served)[:SUBJECTS_MAX]:
            room = self._room() - asked
            if room <= 0:
                return
            asked += await self._look_into(place, min(room, places[place]), _is_orphan(place, served))

    async def _places(self) -> dict[Place, int]:
        """Where tasks of our queues lie that are not near our own arena, and how many messages, taken or not."""
        try:
            counts = await self._connection.streams.subjects(subjects.TASKS, subjects.tasks("*", "*"))
        except NotFound:  # a restarted server has forgotten the stream; whoever owns the tasks' runs makes it anew
            return {}
        found = {Place(*subject.split(".")[1:]): count for subject, count in counts.items()}
        return {place: count for place, count in found.items() if place.queue in self._queues and place.host != self._host}

    def _in_turn(self, places: Iterable[Place], served: Served) -> list[Place]:
        """Hosts without workers first, then what was not looked into for the longest time."""
        never = float("-inf")
        return sorted(places, key=lambda at: (not _is_orphan(at, served), self._looks[at].at if at in self._looks else never, at.host))

    async def _look_into(self, place: Place, most: int, orphan: bool) -> int:
        """Ask for what has lain there too long, at most so many messages; for how many it was."""
        info = await self._connection.streams.consumer_info(subjects.TASKS, place.consumer)
        if info is None:
            await ensure_queue(self._connection, place.queue, place.host)
            info = await self._connection.streams.consumer_info(subjects.TASKS, place.consumer)
        if info is None:
            return 0
        before, now = self._looks.get(place), _look(info)
        self._looks[place] = now
        count = most if orphan else min(most, overdue(before, now, info["num_ack_pending"]))
        if count > 0:
            self._ask(place, count)
        return count

    def _ask(self, place: Place, count: int) -> None:
        """For what is there now: the server keeps nothing of the question, so nothing can come of it later."""
        self._asks += 1
        question = msgspec.json.encode({"batch": count, "no_wait": True})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.TASKS}.{place.consumer}"
        command, _ = encode_publish(subject, question, f"{self._inbox}.{self._asks}")
        self._connection.try_write(command)

    def _on_message(self, message: Message) -> None:
        if message.subject.startswith(self._inbox):  # no task, but a word of the server: that there is nothing
            return
        if self._stopping:
            message.give_back()
        else:
            self._take(message)


def overdue(before: Look | None, now: Look, unacknowledged: int) -> int:
    """How many messages have lain there since the look before; those that were delivered and may have come back count too."""
    if before is None or now.delivered < before.delivered:  # it is another consumer of the same name
        return 0
    delivered = now.delivered - before.delivered
    if not delivered and not now.pending:
        return unacknowledged
    return max(before.pending - delivered, 0)


def _look(info: Mapping[str, Any]) -> Look:
    return Look(monotonic(), int(info["num_pending"]), int(info["delivered"]["consumer_seq"]))


def _is_orphan(place: Place, served: Served) -> bool:
    """Whether no live worker takes from there."""
    return not any(place.queue in queues for queues, _ in served.get(place.host, ()))

"""The backlog: what waits on the broker, for which flow and queue, since when; and how full the streams are.

Asked for when somebody wants to know, a few questions in all, and kept for CACHE_S: no hot path pays for it, nor does a broker with many
scrapers. What the broker does not answer in time is unknown until the next question, not zero, and not what it was before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError
from ..client import Connection, NotFound
from ..client.stored import from_message
from ..topology import flow_consumer, queue_consumer

CACHE_S = 2.0
ANSWER_S = 2.0
OLDEST_MAX = 64
"""The age of the first message costs a question each: asked about the longest backlogs only."""

log = structlog.get_logger("jetfleet.observe")


@dataclass(frozen=True, slots=True)
class Waiting:
    """`count`: messages that nobody has taken; `taken`: those that were, and are not acknowledged yet.

    `oldest_s`: age of the first that nobody has taken, 0 if there is none; None: not asked for.
    """

    count: int
    taken: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a stream's room is taken. `limit_messages`: -1 for none."""

    bytes: int
    limit_bytes: int
    messages: int = 0
    limit_messages: int = -1

    @property
    def share(self) -> float:
        """Of the limit that is nearer; 0 if there is none."""
        of_bytes = self.bytes / self.limit_bytes if self.limit_bytes > 0 else 0.0
        return max(of_bytes, self.messages / self.limit_messages if self.limit_messages > 0 else 0.0)


class Backlog:
    """`flows` and `queues` by name, `streams` by name; empty before the first `refresh`, and while the broker does not answer."""

    def __init__(self, connection: Connection, cache_s: float = CACHE_S) -> None:
        self.flows: Mapping[str, Waiting] = {}
        self.queues: Mapping[str, Waiting] = {}
        self.streams: Mapping[str, Use] = {}
        self._connection = connection
        self._cache_s = cache_s
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask, unless it was asked a moment ago. Raises nothing for a broker that is not there."""
        async with self._asking:
            if time.monotonic() < self._asked_at + self._cache_s:
                return
            self._asked_at = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_S):
                    self.flows, self.queues, self.streams = await asyncio.gather(self._events(), self._tasks(), self._use())
            except (JetfleetError, TimeoutError) as error:
                self.flows, self.queues, self.streams = {}, {}, {}
                log.debug("the backlog cannot be asked for", reason=str(error) or "no answer in time")

    async def _events(self) -> dict[str, Waiting]:
        """By flow; those of triggers with a consumer of their own, and those that no consumer gives to anybody, among them."""
        by_consumer = await self._waiting(subjects.EVENTS, flow_consumer(""))
        found: dict[str, Waiting] = {}
        for name, waiting in [*by_consumer.items(), *(await self._for_nobody(by_consumer)).items()]:
            flow = name.partition("@")[0]
            found[flow] = waiting if flow not in found else _together(found[flow], waiting)
        return found

    async def _for_nobody(self, known: Collection[str]) -> dict[str, Waiting]:
        """Events without a consumer, by what it would be called: of triggers that a flow does not have, and of flows never deployed."""
        try:
            counts = await self._connection.streams.subjects(subjects.EVENTS, subjects.event(">"))
        except NotFound:
            return {}
        apart = {name.partition("@")[0] for name in known if "@" in name}
        found = {}
        for subject, count in counts.items():
            _, flow, *trigger = subject.split(".", 2)
            taken_by = f"{flow}@{trigger[0]}" if trigger and flow in apart else flow
            if taken_by not in known:
                found["@".join((flow, *trigger))] = Waiting(count, 0, None)
        return found

    async def _tasks(self) -> dict[str, Waiting]:
        """By queue: those near the arenas of hosts, and those that nobody has made a consumer for yet, among the others."""
        by_consumer = await self._waiting(subjects.TASKS, queue_consumer(""))
        found: dict[str, Waiting] = {}
        for name, waiting in [*by_consumer.items(), *(await self._without_consumer(by_consumer)).items()]:
            queue = name.partition("@")[0]
            found[queue] = waiting if queue not in found else _together(found[queue], waiting)
        return found

    async def _without_consumer(self, known: Collection[str]) -> dict[str, Waiting]:
        """By what their consumer would be called, as `_waiting` says it."""
        try:
            counts = await self._connection.streams.subjects(subjects.TASKS, subjects.tasks(">"))
        except NotFound:
            return {}
        named = {"@".join(subject.split(".")[1:]): count for subject, count in counts.items()}
        return {name: Waiting(count, 0, None) for name, count in named.items() if name not in known}

    async def _waiting(self, stream: str, prefix: str) -> dict[str, Waiting]:
        """By what follows the prefix in the consumer's name."""
        consumers = await self._list(f"CONSUMER.LIST.{stream}", "consumers")
        named = {each["name"].removeprefix(prefix): each for each in consumers if each["name"].startswith(prefix)}
        longest = sorted(named, key=lambda name: -named[name]["num_pending"])[:OLDEST_MAX]
        ages = dict(zip(longest, await asyncio.gather(*(self._oldest_s(stream, named[name]) for name in longest)), strict=True))
        return {name: Waiting(info["num_pending"], info["num_ack_pending"], ages.get(name)) for name, info in named.items()}

    async def _oldest_s(self, stream: str, consumer: Mapping[str, Any]) -> float:
        """Age of the first message that the consumer has not given to anybody."""
        if not consumer["num_pending"]:
            return 0.0
        config = consumer["config"]
        filters = config.get("filter_subjects") or [config.get("filter_subject") or ">"]
        after = consumer["delivered"]["stream_seq"]
        times = [await self._stored_at_ns(stream, filter, after + 1) for filter in filters]
        first = min((at for at in times if at is not None), default=None)
        return 0.0 if first is None else max(0.0, (time.time_ns() - first) / 1e9)

    async def _stored_at_ns(self, stream: str, subject: str, from_seq: int) -> int | None:
        """When the first message on the subject from this sequence on was stored; None: there is none."""
        question = msgspec.json.encode({"next_by_subj": subject, "seq": from_seq})
        answer = await self._connection.request(f"$JS.API.DIRECT.GET.{stream}", question, timeout_s=ANSWER_S)
        return None if answer.status else from_message(answer).time_ns

    async def _use(self) -> dict[str, Use]:
        streams = await self._list("STREAM.LIST", "streams")
        return {
            each["config"]["name"]: Use(
                each["state"]["bytes"], each["config"]["max_bytes"], each["state"]["messages"], each["config"].get("max_msgs", -1)
            )
            for each in streams
        }

    async def _list(self, subject: str, what: str) -> list[dict[str, Any]]:
        """All pages of a list. Empty if there is no such stream: a server that started anew has forgotten those in memory."""
        found: list[dict[str, Any]] = []
        while True:
            question = msgspec.json.encode({"offset": len(found)})
            answer = msgspec.json.decode((await self._connection.request(f"$JS.API.{subject}", question, timeout_s=ANSWER_S)).data)
            page = answer.get(what) or []
            found += page
            if not page or len(found) >= answer["total"]:
                return found


def _together(one: Waiting, other: Waiting) -> Waiting:
    ages = [each.oldest_s for each in (one, other) if each.oldest_s is not None]
    return Waiting(one.count + other.count, one.taken + other.taken, max(ages, default=None))

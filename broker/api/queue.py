"""Queues as programs send to them: messages for queue triggers, whichever process serves those.

    queue = client.queue("orders")
    await queue.send({"id": 7}, id="order-7", key="customer-3")     # raises QueueFull if there is no room
    await queue.put({"id": 8}, timeout_s=10)                        # waits for room

Calls at the same time share a write to the disk; each message stays one of its own.

Guarantees: a call that returns has its message on disk; it becomes an event of every flow that listens to the queue. The same `id` within
two minutes is the same message, and as long as a run remembers its key the same run. A call that raises QueueFull has stored nothing.
Does not: wait for what becomes of the message. `jetfleet dlq list` has those that no flow can take.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...schemas import subjects
from ...schemas.errors import JetfleetError, UsageError
from ...schemas.flow.triggers.queue import is_queue_name
from ...schemas.payload import encode
from ..client import Connection, StreamFull
from ..flows import Flows
from ..queues import CAPACITY_DEFAULT, capacities, depth, ensure_inbox, ensure_queue, key_on, on_subject
from .feed import FULL, Feed

CONTENT_TYPE = "application/msgpack"
AGAIN_S, AGAIN_MAX_S = 0.01, 0.5


class QueueFull(JetfleetError):
    """As many messages wait as may wait. Nothing was stored."""

    code = "QUEUE_FULL"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"queue {name!r} is full ({why}): send the message again when some that wait have been taken (`put` waits for room); "
            "nobody takes any while its triggers are paused or no coordinator runs"
        )


class NobodyListens(JetfleetError):
    """No flow listens to the subject. Nothing was stored."""

    code = "NOBODY_LISTENS"


class Queue:
    """One queue. `name` is that of the flow's trigger, or `<flow>-<trigger>` where it has none."""

    def __init__(self, name: str, connection: Connection, flows: Flows) -> None:
        if not is_queue_name(name):
            raise UsageError(f"{name!r} is no name of a queue: letters, digits, _ and -, the first one a letter or _")
        self.name = name
        self._connection, self._flows = connection, flows
        self._stream = subjects.queue_stream(name)
        self._feed = Feed(connection, self._stream, lambda: ensure_queue(connection, name, otherwise=self._declared))

    async def send(
        self,
        value: Any = None,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        trace: str = "",
        topic: str = "",
    ) -> str:
        """Send one message; its id. Raises QueueFull, UnencodableValue, UsageError, BrokerError.

        `id`: the idempotency key, a new one if it has none. `key`, `headers`: what the flow reads as `${trigger.meta.key}` and
        `${trigger.meta.headers}`. `trace`: a W3C traceparent. `topic`: further words of the subject, as `eu.created`.
        """
        data, sent = outgoing(value, key, headers, trace)
        id = uuid.uuid4().hex if id is None else id
        try:
            await self._feed.store(subjects.queue(self.name, topic), data, id, sent)
        except StreamFull as error:
            if error.err_code == FULL:
                raise QueueFull(self.name, error.description) from None
            raise
        return id

    async def put(
        self,
        value: Any = None,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        trace: str = "",
        topic: str = "",
        timeout_s: float | None = None,
    ) -> str:
        """As `send`, but wait for room. Raises QueueFull after `timeout_s`; None: wait for as long as it takes."""
        id = uuid.uuid4().hex if id is None else id
        return await patient(lambda: self.send(value, id=id, key=key, headers=headers, trace=trace, topic=topic), timeout_s)

    async def depth(self) -> int:
        """How many messages wait, or are taken and not events yet."""
        return await depth(self._connection, self._stream)

    async def capacity(self) -> int:
        """How many may wait."""
        info = await self._connection.streams.stream_info(self._stream)
        return self._declared if info is None else int(info["config"]["max_msgs"])

    async def delete(self) -> bool:
        """With everything in it. False: there was none. While a flow listens to it, it comes back, empty."""
        self._feed.there = False
        return await self._connection.streams.delete_stream(self._stream)

    @property
    def _declared(self) -> int:
        return capacities(self._flows).get(self.name, CAPACITY_DEFAULT)


class Subjects:
    """Where messages go that are for whoever listens. One per client."""

    def __init__(self, connection: Connection, flows: Flows) -> None:
        self._flows = flows
        self._feed = Feed(connection, subjects.INBOX, lambda: ensure_inbox(connection))

    async def send(
        self,
        subject: str,
        value: Any = None,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        trace: str = "",
    ) -> str:
        """Send a message to all flows that listen to its subject; its id. As `Queue.send`, and raises NobodyListens."""
        data, sent = outgoing(value, key, headers, trace)
        id = uuid.uuid4().hex if id is None else id
        if not on_subject(self._flows, subject):
            await self._flows.caught_up()
            if not on_subject(self._flows, subject):
                raise NobodyListens(f"no deployed flow has a queue trigger whose `subjects` match {subject!r}: deploy one first")
        await self._feed.store(subjects.on(subject), data, key_on(subject, id), sent)  # the stream of all subjects drops an id it has had
        return id


def outgoing(value: Any, key: str | None, headers: Mapping[str, str] | None, trace: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a message. Raises UnencodableValue, UsageError."""
    sent = dict(headers or {})
    reserved = [name for name in sent if name.lower().startswith(("nats-", "jetfleet-")) or name.lower() == "content-type"]
    if reserved:
        raise UsageError(f"the header {reserved[0]!r} is not yours to set: `id`, `key` and `trace` are arguments of their own")
    sent["Content-Type"] = CONTENT_TYPE
    if key is not None:
        sent["Jetfleet-Key"] = key
    if trace:
        sent["traceparent"] = trace
    return encode(value), sent


async def patient(send: Callable[[], Awaitable[str]], timeout_s: float | None) -> str:
    """Try until there is room, or the time is over."""
    loop = asyncio.get_running_loop()
    end = None if timeout_s is None else loop.time() + timeout_s
    wait_s = AGAIN_S
    while True:
        try:
            return await send()
        except QueueFull:
            if end is not None and loop.time() + wait_s > end:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, AGAIN_MAX_S)

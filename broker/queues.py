"""Queues: the streams in which messages for queue triggers wait, and which triggers they are for.

    QUEUE_<name>   queue.<name>, queue.<name>.>    a queue; `capacity` messages at most, the next one is refused
    INBOX          on.>                            messages on subjects, for every trigger with a pattern that matches

Both have one consumer, `triggers`, which all who serve them share: a message is given to one of them at a time, and is acknowledged when it
has become an event for each trigger that it is for. What is acknowledged leaves many at a time, up to the first message that is not: in
a work queue each acknowledgement would be a write to the disk of its own.

They are made when somebody serves or sends to them first, and stay: what waits in them waits also while no flow is deployed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeAlias

from ..schemas import subjects
from ..schemas.flow.triggers.queue import QueueParams, matches
from ..schemas.limits import MESSAGE_MAX_BYTES
from ..schemas.messages import DISABLED
from .client import Connection, StreamFull
from .deployment import deployed
from .flows import Flows
from .store_size import StoreTooSmall
from .topology import Stream, trigger_consumer_config
from .trigger_params import params_of

CAPACITY_DEFAULT = 100
CONSUMER = "triggers"
BYTES_MIN = MESSAGE_MAX_BYTES + (1 << 20)
"""Of any of them: a message as large as it may be has to fit."""
INBOX = Stream(
    name=subjects.INBOX, subjects=(subjects.on(">"),), share=1 / 64, consumers_max=10,
    purpose="messages on subjects that flows listen to", features={"allow_atomic": True},
)  # fmt: skip


def queue_stream(name: str) -> Stream:
    """Shares are of what the streams of the topology leave: queues may be many."""
    return Stream(
        name=subjects.queue_stream(name), subjects=(subjects.queue(name), subjects.queue(name, ">")), share=1 / 1_024,
        consumers_max=10, purpose=f"messages of queue {name}", features={"allow_atomic": True},
    )  # fmt: skip


async def ensure_queue(connection: Connection, name: str, capacity: int | None = None, *, otherwise: int = CAPACITY_DEFAULT) -> None:
    """Make the queue's stream, or give it this capacity. None: leave it as it is; a new one gets `otherwise`.

    Raises StoreTooSmall, BrokerError.
    """
    await _ensure(connection, queue_stream(name), {"max_msgs": otherwise if capacity is None else capacity}, keep=capacity is None)


async def ensure_inbox(connection: Connection) -> None:
    """Make the stream of messages on subjects. Raises StoreTooSmall, BrokerError."""
    await _ensure(connection, INBOX, {}, keep=True)


async def ensure_consumer(connection: Connection, stream: str) -> None:
    """Make what all who serve the stream's messages share. Raises BrokerError."""
    await connection.streams.create_or_update_consumer(stream, trigger_consumer_config(CONSUMER))


async def clear(connection: Connection, stream: str, known: int = 0) -> int:
    """Take away what is acknowledged, up to the first message that is not. Raises BrokerError.

    The sequence up to which everything is acknowledged. `known`: what a call before this one returned; if it is the same, nothing is done.
    """
    info = await connection.streams.consumer_info(stream, CONSUMER)
    floor = 0 if info is None else int(info["ack_floor"]["stream_seq"])
    if floor not in (0, known):
        await connection.streams.purge(stream, seq=floor + 1)
    return floor


async def depth(connection: Connection, stream: str) -> int:
    """How many messages wait, or are taken and not acknowledged. Raises BrokerError."""
    taken = await connection.streams.consumer_info(stream, CONSUMER)
    if taken is not None:
        return int(taken["num_pending"]) + int(taken["num_ack_pending"])
    found = await connection.streams.stream_info(stream)
    return 0 if found is None else int(found["state"]["messages"])


async def _ensure(connection: Connection, stream: Stream, limits: dict[str, Any], *, keep: bool) -> None:
    """`keep`: leave the limits of one that is there."""
    found = await connection.streams.stream_info(stream.name)
    while found is None:
        if await _made(connection, stream, limits):
            return
        found = await connection.streams.stream_info(stream.name)
    wanted = found["config"] | stream.features | ({} if keep else limits)
    if wanted != found["config"]:
        await connection.streams.create_or_update_stream(wanted)


async def _made(connection: Connection, stream: Stream, limits: dict[str, Any]) -> bool:
    """False: somebody else has made it this moment."""
    here = await deployed(connection)
    replicas, store_bytes = (here.replicas, here.store_bytes) if here is not None else (1, 0)
    config = stream.config(replicas, store_bytes) | limits
    config["max_bytes"] = max(BYTES_MIN, config["max_bytes"])
    # No sequence comes a second time when it is deleted and made anew: a `clear` meant for the old one must not reach into the new.
    config["first_seq"] = time.time_ns() // 1_000
    try:
        return await connection.streams.create_stream(config)
    except StreamFull as error:
        raise StoreTooSmall(f"stream {stream.name} wants {config['max_bytes']:,} bytes. A queue that is needed no longer can be deleted "
                            "(`jetfleet queue delete`)") from error  # fmt: skip


def key_on(subject: str, id: str) -> str:
    """The key of a message on a subject: the same id on another subject is another message."""
    prefix = f"{subject} "
    return id if id.startswith(prefix) else prefix + id


# --- what the deployed flows say

Listener: TypeAlias = tuple[str, str, QueueParams]
"""A flow, the id of a trigger in it, and its params."""


def listeners(flows: Flows) -> Iterator[Listener]:
    """The queue triggers of all deployed flows that are enabled, by flow. A paused one listens: its events wait."""
    for flow in flows.names():
        plan = flows.current(flow)
        for trigger in () if plan is None else plan.triggers:
            if trigger.type == "queue" and trigger.enabled and flows.trigger_state(flow, trigger.id).state != DISABLED:
                assert plan is not None
                params = params_of(plan, trigger)
                if isinstance(params, QueueParams):
                    yield flow, trigger.id, params


def capacities(flows: Flows) -> dict[str, int]:
    """The queues of the deployed flows. Where several flows share one, the largest capacity that one of them wants."""
    found: dict[str, int] = {}
    for flow, trigger, params in listeners(flows):
        name = params.queue(flow, trigger)
        if name is not None:
            found[name] = max(found.get(name, 0), params.capacity)
    return found


def of_queue(flows: Flows, name: str) -> tuple[tuple[str, str], ...]:
    """The triggers that a message of the queue is for."""
    return tuple((flow, trigger) for flow, trigger, params in listeners(flows) if params.queue(flow, trigger) == name)


def on_subject(flows: Flows, subject: str) -> tuple[tuple[str, str], ...]:
    """The triggers that a message on this subject (without `on.`) is for."""
    return tuple((flow, trigger) for flow, trigger, params in listeners(flows) if any(matches(each, subject) for each in params.subjects))

"""The deployment: the topology on a server, made and kept as it is written down.

What was deployed stands in the message `topology` of the stream FLEET. It is written once, before the streams it speaks of, by
compare-and-set: of two processes that start a deployment one decides and the other takes what it finds.

`ensure` can be called by every process at every start: what is there already is left alone, an operator's larger `max_bytes` too. What it
refuses: another number of partitions (runs would change their place), a topology newer than this code, and a stream of truth that was
there and is gone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection, Sequence, Set
from dataclasses import replace
from typing import Any

import msgspec

from ..schemas import messages, subjects
from ..schemas.errors import JetfleetError
from .client import Connection, Denied, NotFound, StreamFull, WrongSequence
from .store_size import StoreTooSmall, what_fits
from .topology import (
    PARTITIONS_DEFAULT,
    PARTITIONS_MAX,
    VERSION,
    Stream,
    Topology,
    fired_consumer_config,
    flow_consumer,
    flow_consumer_config,
    memory_streams,
    queue_consumer,
    queue_consumer_config,
    signals_consumer_config,
    streams,
    ticks_consumer_config,
)

_MEASURING_S, _LOOK_AGAIN_S = 2.0, 0.02
NOTHING_DEPLOYED = "nothing is deployed on this server yet, and this role may not: start a coordinator first"
_SETTLED = frozenset(("max_bytes", "num_replicas", "max_consumers", "storage", "retention"))
"""What a stream keeps from its creation on, unless it is asked for: limits that operators tune, and what cannot change."""


class PartitionsFixed(JetfleetError):
    """Another number of partitions was asked for than is deployed. `deployed` is the number."""

    code = "PARTITIONS_FIXED"

    def __init__(self, asked: int, deployed: int) -> None:
        self.deployed = deployed
        super().__init__(
            f"{asked} partitions were asked for, but this deployment has {deployed}, and each run belongs to one of them: leave the number "
            f"out, or say {deployed}; another number needs a new deployment on an empty server"
        )


class TopologyTooNew(JetfleetError):
    """The deployment was made by a newer jetfleet."""

    code = "TOPOLOGY_TOO_NEW"


class StreamGone(JetfleetError):
    """A stream that cannot be derived from anything else was deployed and is not there any more."""

    code = "STREAM_GONE"


class Deployed(msgspec.Struct, array_like=True, frozen=True):
    """What was deployed. `store_bytes` is 0 until it is known. `complete`: all streams were made, so one that is missing was lost.

    `created_at`: ms since the epoch.
    """

    version: int
    partitions: int
    replicas: int
    store_bytes: int
    created_at: int
    complete: bool = False


async def ensure(connection: Connection, topology: Topology | None = None, *, accept_loss: bool = False) -> Deployed:
    """Bring the topology onto the server, or find it there. `accept_loss`: make anew what was lost.

    Raises PartitionsFixed, TopologyTooNew, StreamGone, StoreTooSmall, and the client's BrokerErrors.
    """
    wanted = topology or Topology()
    found, seq = await _agree(connection, wanted, accept_loss)
    if found.complete and found.version == VERSION and not accept_loss:
        _refuse_loss(found, set(await connection.streams.names()))
    wished = msgspec.structs.replace(found, replicas=wanted.replicas or found.replicas, store_bytes=wanted.store_bytes or found.store_bytes)
    tuned = _SETTLED - _changes(found, wished)
    for stream in streams(found.partitions):
        await _ensure_stream(connection, stream, wished, keep=tuned)
    await _ensure_consumer(connection, subjects.TIMERS, fired_consumer_config())
    await ensure_signals(connection)
    await ensure_ticks(connection)
    await ensure_epoch(connection)
    done = msgspec.structs.replace(wished, version=VERSION, complete=True)
    if done == found:
        return done
    try:
        await _write(connection, done, seq)
    except WrongSequence:  # somebody else was at it and came first
        return (await _read(connection))[0] or done
    return done


async def deployed(connection: Connection) -> Deployed | None:
    """What is deployed on the server, None if nothing is, or not all of it yet. Raises TopologyTooNew."""
    if await connection.streams.stream_info(subjects.FLEET) is None:
        return None
    found, _ = await _read(connection)
    return found if found is not None and found.complete else None


async def joined(connection: Connection) -> Deployed:
    """What is deployed, as it is; brought onto the server if nothing is. For processes that need no permission to change streams.

    Raises StreamGone, TopologyTooNew, and what `ensure` raises.
    """
    found = await deployed(connection)
    if found is None:
        try:
            return await ensure(connection)
        except Denied as error:
            raise Denied(error.subject, name=error.name, listening=error.listening, hint=NOTHING_DEPLOYED) from None
    if found.version == VERSION:
        _refuse_loss(found, set(await connection.streams.names()))
    return found


async def ensure_memory(connection: Connection, found: Deployed, queues: Sequence[str] = (), host: str = "") -> str:
    """Make what a restart of the server took: the streams in memory, and the consumers of `queues`. The epoch of the tasks.

    `host`: an arena near which tasks of these queues may wait.
    """
    for stream in memory_streams():
        await _ensure_stream(connection, stream, found)
    for queue in queues:
        await ensure_queue(connection, queue)
        if host:
            await ensure_queue(connection, queue, host)
    return await ensure_epoch(connection)


async def ensure_epoch(connection: Connection) -> str:
    """The name of the tasks' epoch: another one than before means that every task in the stream was lost."""
    try:
        name = secrets.token_hex(8)
        await connection.publisher.publish(subjects.TASKS_EPOCH, name.encode(), expect_last_subject_seq=0)
    except WrongSequence:
        found = await tasks_epoch(connection)
        return found if found is not None else await ensure_epoch(connection)
    return name


async def tasks_epoch(connection: Connection) -> str | None:
    """The epoch that the server has, None if its memory is gone and nobody has begun a new one."""
    try:
        stored = await connection.streams.last(subjects.TASKS, subjects.TASKS_EPOCH)
    except NotFound:
        return None
    return None if stored is None else bytes(stored.data).decode()


async def ensure_signals(connection: Connection) -> None:
    """Make the consumer of signals from other programs, if it is not there."""
    await _ensure_consumer(connection, subjects.SIGNALS, signals_consumer_config())


async def ensure_ticks(connection: Connection) -> None:
    """Make the consumer of the ticks of cron triggers, if it is not there."""
    await _ensure_consumer(connection, subjects.TIMERS, ticks_consumer_config())


async def ensure_flow_consumer(connection: Connection, flow: str) -> str:
    """The name of the durable consumer of the flow's events, which is there now. One that is there is left as it is.

    It may be without the events of the triggers, if they have consumers of their own.
    """
    if await connection.streams.consumer_info(subjects.EVENTS, flow_consumer(flow)) is None:
        await _ensure_consumer(connection, subjects.EVENTS, flow_consumer_config(flow))
    return flow_consumer(flow)


async def part_flow_consumer(connection: Connection, flow: str, triggers: Sequence[str]) -> None:
    """Give each of these triggers of the flow a consumer of its own. It begins with the first event that is not acknowledged."""
    await _ensure_consumer(connection, subjects.EVENTS, flow_consumer_config(flow, apart=True))  # before: filters must not overlap
    for trigger in triggers:
        await _ensure_consumer(connection, subjects.EVENTS, flow_consumer_config(flow, trigger))


async def ensure_queue(connection: Connection, queue: str, host: str = "") -> str:
    """The name of the durable consumer of the queue's tasks, or of those near the arena `host`, which is there now.

    One that is there is left as it is: every worker that starts comes here, and its `ack_wait` may be an operator's choice.
    """
    if await connection.streams.consumer_info(subjects.TASKS, queue_consumer(queue, host)) is None:
        await _ensure_consumer(connection, subjects.TASKS, queue_consumer_config(queue, host))
    return queue_consumer(queue, host)


async def _agree(connection: Connection, wanted: Topology, accept_loss: bool) -> tuple[Deployed, int]:
    """What is deployed, or is about to be, with the sequence of the message that says so."""
    found, seq = None, 0
    partitions = partitions_among(await connection.streams.names())  # before the topology is read: who deploys writes that first
    if await connection.streams.stream_info(subjects.FLEET) is not None:
        found, seq = await _read(connection)
    decided_here = False
    if found is None:
        if partitions and not accept_loss:
            raise StreamGone(
                f"there are WALs of {partitions} partitions here, and {subjects.FLEET}, which says what is deployed, is gone or empty. "
                "Restore the server's store from a backup and start again; `jetfleet doctor --accept-loss` makes it anew"
            )
        found, seq, decided_here = await _decide(connection, replace(wanted, partitions=partitions or wanted.partitions))
    if wanted.partitions is not None and wanted.partitions != found.partitions:
        raise PartitionsFixed(wanted.partitions, found.partitions)
    if not found.store_bytes:
        found, seq = await _measure(connection, wanted, found, seq, patience_s=0 if decided_here else _MEASURING_S)
    return found, seq


async def _decide(connection: Connection, wanted: Topology) -> tuple[Deployed, int, bool]:
    """Write down the deployment, unless somebody else was first; whether it was this process."""
    mine = Deployed(VERSION, wanted.partitions or PARTITIONS_DEFAULT, wanted.replicas or 1, 0, int(time.time() * 1000))
    await _ensure_stream(connection, streams(1)[0], mine)
    try:
        return mine, await _write(connection, mine, 0), True
    except WrongSequence:
        found, seq = await _read(connection)
        return found or mine, seq, False


async def _measure(connection: Connection, wanted: Topology, found: Deployed, seq: int, patience_s: float) -> tuple[Deployed, int]:
    """Find out the store's size and write it down: whoever decided does, since two who try at once are in each other's way."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        await asyncio.sleep(_LOOK_AGAIN_S)
        later, later_seq = await _read(connection)
        if later is not None and later.store_bytes:
            return later, later_seq
    store_bytes = await what_fits(connection, found.replicas, wanted.store_bytes)
    measured = msgspec.structs.replace(found, store_bytes=store_bytes)
    try:
        return measured, await _write(connection, measured, seq)
    except WrongSequence:
        later, later_seq = await _read(connection)
        return later or measured, later_seq


async def _read(connection: Connection) -> tuple[Deployed | None, int]:
    stored = await connection.streams.last(subjects.FLEET, subjects.TOPOLOGY)
    if stored is None:
        return None, 0
    found = messages.decode(Deployed, stored.data)
    if found.version > VERSION:
        raise TopologyTooNew(
            f"this deployment has topology version {found.version} and this jetfleet knows up to {VERSION}: upgrade jetfleet here"
        )
    return found, stored.seq


async def _write(connection: Connection, found: Deployed, seq: int) -> int:
    ack = await connection.publisher.publish(subjects.TOPOLOGY, messages.encode(found), expect_last_subject_seq=seq)
    return ack.seq


def partitions_among(names: Collection[str]) -> int:
    """How many there must be, by the WALs that are there: others may be lost too."""
    present = set(names)
    return max((number + 1 for number in range(PARTITIONS_MAX) if subjects.wal_stream(number) in present), default=0)


def _changes(found: Deployed, wished: Deployed) -> set[str]:
    """The settled parts of streams that a wish changes."""
    store, replicas = wished.store_bytes != found.store_bytes, wished.replicas != found.replicas
    return ({"max_bytes"} if store else set()) | ({"num_replicas"} if replicas else set())


def _refuse_loss(found: Deployed, present: set[str]) -> None:
    missing = [stream.name for stream in streams(found.partitions) if stream.truth and stream.name not in present]
    if missing:
        raise StreamGone(
            f"deployed and not there any more: {', '.join(missing)}. Restore the server's store from a backup and start again; "
            "`jetfleet doctor --accept-loss` makes them anew, empty"
        )


async def _ensure_stream(connection: Connection, stream: Stream, found: Deployed, *, keep: Set[str] = _SETTLED) -> None:
    """Make the stream, or change what it lacks. `keep`: what is left as it is in a stream that is there."""
    config = stream.config(found.replicas, found.store_bytes)
    info = await connection.streams.stream_info(stream.name)
    present: dict[str, Any] = {} if info is None else info["config"]
    if info is not None:
        # The server leaves out what is 0 or false.
        changes = {key: value for key, value in config.items() if key not in keep and (present.get(key) or 0) != (value or 0)}
        if not changes:
            return
        config = {**present, **changes}
    try:
        await connection.streams.create_or_update_stream(config)
    except StreamFull as error:
        raise StoreTooSmall(f"stream {stream.name} wants {config['max_bytes']} bytes ({stream.storage})") from error


async def _ensure_consumer(connection: Connection, stream: str, config: dict[str, Any]) -> None:
    """One that is made may find on the server's disk what one of its name had of a stream that was lost, and pass over as much."""
    info = await connection.streams.create_or_update_consumer(stream, config)
    had = info["delivered"]["stream_seq"]
    if had and had > await _last_seq(connection, stream):
        await connection.streams.delete_consumer(stream, info["name"])
        await connection.streams.create_or_update_consumer(stream, config)


async def _last_seq(connection: Connection, stream: str) -> int:
    info = await connection.streams.stream_info(stream)
    return 0 if info is None else int(info["state"]["last_seq"])

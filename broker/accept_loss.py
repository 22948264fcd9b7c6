"""Going on with what a server has left, after it lost acknowledged messages: an operator's decision, by `jetfleet doctor --accept-loss`.

Streams that are gone are made anew, empty. What outlived what it is about is brought into line with that:

    a snapshot that knows more than its WAL    the WAL is moved behind it, with all that is left of it
    a consumer that has had more than there is    is deleted, to be made anew: it would pass over as many new messages. So are all that take
                                                  from a work queue, where whatever is there is still to be delivered
    up to where effects are acknowledged    nobody says any more, so the next owners carry out again what may have been lost

All of this only repeats things, and records, events and effects that come twice change nothing. To be done while no coordinator runs.
"""

from __future__ import annotations

from ..schemas import subjects
from .client import Connection
from .coordinator.snapshots import Snapshots
from .deployment import ensure
from .topology import LEFT


async def accept_loss(connection: Connection) -> None:
    deployed = await ensure(connection, accept_loss=True)
    for stream, consumer in {*await consumers_ahead(connection), *await _of_work_queues(connection)}:
        await connection.streams.delete_consumer(stream, consumer)
    await ensure(connection)
    await connection.streams.purge(subjects.PROGRESS)
    for partition in range(deployed.partitions):
        await _move_behind_snapshot(connection, partition)
    await connection.streams.delete_stream(LEFT)


async def consumers_ahead(connection: Connection) -> list[tuple[str, str]]:
    """Stream and name of each consumer that has had messages that its stream has not."""
    found = []
    for stream in await connection.streams.names():
        consumers = await connection.streams.consumers(stream)
        info = await connection.streams.stream_info(stream)  # after them: the stream may grow meanwhile
        last_seq = 0 if info is None else info["state"]["last_seq"]
        found += [(stream, each["name"]) for each in consumers if each["config"].get("durable_name") and _had(each) > last_seq]
    return found


async def _of_work_queues(connection: Connection) -> list[tuple[str, str]]:
    """Who published after the loss may have hidden that they are ahead."""
    found = []
    for stream in await connection.streams.names():
        info = await connection.streams.stream_info(stream)
        if info is not None and info["config"]["retention"] == "workqueue":
            found += [(stream, each["name"]) for each in await connection.streams.consumers(stream)]
    return found


def _had(consumer: dict[str, dict[str, int]]) -> int:
    return max(consumer["delivered"]["stream_seq"], consumer["ack_floor"]["stream_seq"])


async def _move_behind_snapshot(connection: Connection, partition: int) -> None:
    """Purged is only what lies in LEFT by then: who dies on the way, and is called again, goes on from there."""
    streams, publish = connection.streams, connection.publisher.publish
    stream, kept = subjects.wal_stream(partition), f"left.{partition}"
    position = (await Snapshots(connection, partition).open()).position
    info = await streams.stream_info(stream)
    if info is None:
        return
    if info["state"]["last_seq"] < position:
        replicas = info["config"]["num_replicas"]
        await streams.create_or_update_stream({"name": LEFT, "subjects": ["left.*"], "allow_direct": True, "num_replicas": replicas})
        async for message in streams.read(stream):
            await publish(kept, message.data, id=f"kept-{kept}-{position}-{message.seq}")
        await streams.purge(stream, seq=position + 1)
    elif await streams.stream_info(LEFT) is None:
        return
    async for message in streams.read(LEFT, subject=kept):
        await publish(subjects.wal(partition), message.data, id=f"left-{position}-{message.seq}")
    await streams.purge(LEFT, subject=kept)

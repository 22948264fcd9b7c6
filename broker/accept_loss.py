"""Going on with what a server has left, after it lost acknowledged messages: an operator's decision, by `jetfleet doctor --accept-loss`.

Streams that are gone are made anew, empty. A snapshot may know more than is left of its WAL: then the WAL is moved behind the snapshot,
with all that is left of it. That is harmless, since records that come twice change nothing. Nobody says any more up to where effects
are acknowledged, so the next owners carry out again what may have been lost. To be done while no coordinator runs.
"""

from __future__ import annotations

from ..schemas import subjects
from .client import Connection
from .coordinator.snapshots import Snapshots
from .deployment import ensure


async def accept_loss(connection: Connection) -> None:
    deployed = await ensure(connection, accept_loss=True)
    await connection.streams.purge(subjects.PROGRESS)
    for partition in range(deployed.partitions):
        await _move_behind_snapshot(connection, partition)


async def _move_behind_snapshot(connection: Connection, partition: int) -> None:
    stream = subjects.wal_stream(partition)
    position = (await Snapshots(connection, partition).open()).position
    info = await connection.streams.stream_info(stream)
    if info is None or info["state"]["last_seq"] >= position:
        return
    left = [message async for message in connection.streams.read(stream)]
    await connection.streams.purge(stream, seq=position + 1)
    for message in left:
        await connection.publisher.publish(message.subject, message.data, id=f"left-{position}-{message.seq}")

"""Collections: events that are gathered right now, as the owners of their collectors tell.

Owners that do not answer are left out: while a partition changes hands nobody knows what is gathered there.
"""

from __future__ import annotations

import asyncio

import msgspec

from ...schemas import subjects
from ..client import Connection, NoResponders, Unknown
from ..collection_views import CollectionView

ANSWER_S = 2.0

_views = msgspec.msgpack.Decoder(list[CollectionView])


async def list_collections(connection: Connection, partitions: int, flow: str = "") -> list[CollectionView]:
    """All of a flow, or of all flows, those that have waited longest first."""
    answers = await asyncio.gather(*(_ask(connection, partition, flow) for partition in range(partitions)))
    return sorted((view for views in answers for view in views), key=lambda view: (view.first_at, view.run))


async def _ask(connection: Connection, partition: int, flow: str) -> list[CollectionView]:
    try:
        reply = await connection.request(subjects.collections(partition), msgspec.msgpack.encode(flow), timeout_s=ANSWER_S)
        return _views.decode(reply.data)
    except (NoResponders, Unknown, msgspec.MsgspecError):
        return []

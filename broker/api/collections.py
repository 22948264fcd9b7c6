"""Collections: events that are gathered right now, as the owners of their collectors tell.

While a partition changes hands nobody knows what is gathered there, so its next owner is waited for: a list is whole, or an error.
"""

from __future__ import annotations

import asyncio

from ...schemas import subjects
from ..asking import ask_patiently
from ..client import Connection
from ..collection_views import CollectionView


async def list_collections(connection: Connection, partitions: int, flow: str = "") -> list[CollectionView]:
    """All of a flow, or of all flows, those that have waited longest first. Raises Unknown if an owner does not answer."""
    answers = await asyncio.gather(*(_ask(connection, partition, flow) for partition in range(partitions)))
    return sorted((view for views in answers for view in views), key=lambda view: (view.first_at, view.run))


async def _ask(connection: Connection, partition: int, flow: str) -> list[CollectionView]:
    return await ask_patiently(connection, subjects.collections(partition), flow, list[CollectionView])

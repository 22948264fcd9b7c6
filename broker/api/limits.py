"""Limits: how those are that somebody uses right now, as the owners of their partitions tell.

While a partition changes hands nobody knows what lives there, so its next owner is waited for: a list is whole, or an error.
"""

from __future__ import annotations

import asyncio

from ...schemas import subjects
from ..asking import PATIENCE_S, ask_patiently
from ..client import Connection
from ..limit_views import LimitsQuestion, LimitView


async def list_limits(connection: Connection, partitions: int, prefix: str = "", patience_s: float = PATIENCE_S) -> list[LimitView]:
    """All whose id begins with the prefix, those with the most waiting first. Raises Unknown if an owner does not answer."""
    question = LimitsQuestion(prefix=prefix)
    answers = await asyncio.gather(*(_ask(connection, partition, question, patience_s) for partition in range(partitions)))
    return sorted((view for views in answers for view in views), key=lambda view: (-view.waiting, view.id))


async def look_at(connection: Connection, partitions: int, id: str) -> LimitView | None:
    """One with its holders and who is next; None if nobody holds it and nobody waits. Raises Unknown if its owner does not answer."""
    views = await _ask(connection, subjects.partition_of(id, partitions), LimitsQuestion(id=id), PATIENCE_S)
    return views[0] if views else None


async def _ask(connection: Connection, partition: int, question: LimitsQuestion, patience_s: float) -> list[LimitView]:
    return await ask_patiently(connection, subjects.limits(partition), question, list[LimitView], patience_s)

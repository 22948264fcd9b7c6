"""Limits: how those are that somebody uses right now, as the owners of their partitions tell.

Owners that do not answer are left out of lists: while a partition changes hands nobody knows what lives there.
"""

from __future__ import annotations

import asyncio

import msgspec

from ...schemas import subjects
from ..client import Connection, NoResponders, Unknown
from ..limit_views import LimitsQuestion, LimitView

ANSWER_S = 2.0

_views = msgspec.msgpack.Decoder(list[LimitView])


async def list_limits(connection: Connection, partitions: int, prefix: str = "") -> list[LimitView]:
    """All whose id begins with the prefix, those with the most waiting first."""
    question = LimitsQuestion(prefix=prefix)
    answers = await asyncio.gather(*(_ask(connection, partition, question) for partition in range(partitions)))
    return sorted((view for views in answers for view in views or ()), key=lambda view: (-view.waiting, view.id))


async def look_at(connection: Connection, partitions: int, id: str) -> LimitView | None:
    """One with its holders and who is next; None if nobody holds it and nobody waits, or its owner does not answer."""
    views = await _ask(connection, subjects.partition_of(id, partitions), LimitsQuestion(id=id))
    return views[0] if views else None


async def _ask(connection: Connection, partition: int, question: LimitsQuestion) -> list[LimitView] | None:
    try:
        reply = await connection.request(subjects.limits(partition), msgspec.msgpack.encode(question), timeout_s=ANSWER_S)
        return _views.decode(reply.data)
    except (NoResponders, Unknown, msgspec.MsgspecError):
        return None

"""Flows that ask people, and looking at who is asked."""

from __future__ import annotations

import asyncio
from typing import Any

from jetfleet.broker.api import Pending
from jetfleet.schemas.payload import decode

from ..fleet.fleets import Fleet, flow

LIMIT = {"type": "object", "required": ["limit"], "properties": {"limit": {"type": "number"}}}


def approval(name: str = "ask", **config: Any) -> dict[str, Any]:
    """A flow that asks with this config and goes on with what came of it, whatever that is."""
    nodes = {
        "ask": {"type": "std::wait", "config": {"hook_id": "ok", **config}},
        "next": {"type": "std::merge", "config": {"strategy": "any"}},
    }
    return flow(name, nodes, ["ask -> next", "ask.rejected -> next", "ask.escalated -> next"])


async def pending(one: Fleet, count: int = 1, **of: Any) -> list[Pending]:
    """The approvals (or signals) that wait, as soon as there are so many."""
    async with asyncio.timeout(15):
        while len(found := (await one.client.pending(**of)).rows) != count:
            await asyncio.sleep(0.01)
    return found


async def output(one: Fleet, run: str) -> Any:
    """What the run put out, once it has completed."""
    (summary,) = await one.log.ended(run)
    assert summary.status == "completed", summary.error
    return decode(summary.output)

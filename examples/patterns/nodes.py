"""The own nodes of the pattern examples: work that takes time, so that order and overlap can be seen, and two that decide something.

Time is the clock of whoever runs the flow: with `--virtual-time` a day of work costs nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from jetfleet.workers import Context, node


class Duration(BaseModel):
    """How long the work takes. A selector that leads nowhere is null: no time at all."""

    ms: int | None = 0


class Constraints(BaseModel):
    """What comes after what, and the order that is wished for."""

    after: dict[str, list[str]]
    wish: list[str]


@node("patterns.work", idempotent=True)
async def work(value: Any, config: Duration, context: Context) -> dict[str, Any]:
    """Be busy for a while; gives who was busy, from when to when."""
    began = context.clock.now_ms()
    await context.clock.sleep((config.ms or 0) / 1_000)
    return {"who": context.node, "began": began, "ended": context.clock.now_ms()}


@node("patterns.next_step", idempotent=True)
async def next_step(value: dict[str, Any], config: Constraints) -> dict[str, Any]:
    """Choose the first step of the wish that is not done and whose predecessors are; gives it, and all that are done with it."""
    done = value.get("done", [])
    step = next(step for step in config.wish if step not in done and set(config.after.get(step, [])) <= set(done))
    return {"step": step, "done": [*done, step]}


@node("patterns.read_page", idempotent=True)
async def read_page(page: dict[str, Any], context: Context) -> dict[str, Any]:
    """Read one page of a small web; gives the pages that it links to, each with all that is needed to go on from there."""
    await context.clock.sleep(0.1)
    links = page["web"].get(page["name"], [])
    return {"name": page["name"], "links": [{**page, "name": link} for link in links]}

"""The nodes of simulated flows: what they do is told to the ledger before it is done, as an effect on the world outside.

What a node puts out depends on its id and its input alone; whether it fails, on the number of its attempt. How long a slow one takes is
drawn from its idempotency key and attempt, so that it does not depend on who executes it when.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from jetfleet.workers import Context, NodeError, Registry, node

from ...engine.programs import Task, refuses, rescued, work
from ..ledger import Ledger
from .clock import current
from .process import Process
from .programs import SimulatedFlow

SLOW_S = (0.0, 0.001, 0.005, 0.02, 0.1, 0.1, 0.5, 1.5, 6.0)
"""How long attempts in slots take; the longest is longer than messages are lent to a worker."""
_CHILD_OF = re.compile(r"(?P<run>(?P<flow>\w+)-[0-9a-f]{16})\.(?P<node>\w+)(?P<place>(\[\d+\])*)(\.(?P<attempt>\d+))?")


def registry(ledger: Ledger, flows: Mapping[str, SimulatedFlow], slowness: Callable[[], float] = lambda: 1.0) -> Registry:
    """The nodes of one simulation. `slowness`: what times of slow nodes are multiplied by."""
    nodes = Registry()

    def begin(context: Context) -> None:
        identity, who = context.identity, current.get()
        activation = ".".join(map(str, identity.activation))
        worker = f"{who.name}-{who.pid}" if isinstance(who, Process) else "?"  # who is started again is another one
        ledger.effect(identity.run_id, activation, identity.attempt, worker, identity.idempotency_key)

    async def pause(context: Context) -> None:
        drawn = Random(f"{context.identity.idempotency_key} {context.attempt}")
        await asyncio.sleep(drawn.choice(SLOW_S) * slowness())

    def outcome(value: Any, id: str, attempt: int, fails: int, picky: bool) -> Any:
        if attempt <= fails or (picky and refuses(id, value)):
            raise NodeError(f"attempt {attempt} of {id} was told to fail", type="boom")
        return work(id, value)

    @node("sim.inline", mode="inline", registry=nodes)
    def inline(value: Any, config: dict[str, Any], context: Context) -> Any:
        begin(context)
        return outcome(value, context.identity.node, context.attempt, config["fails"], config["picky"])

    @node("sim.slow", registry=nodes)
    async def slow(value: Any, config: dict[str, Any], context: Context) -> Any:
        begin(context)
        await pause(context)
        return outcome(value, context.identity.node, context.attempt, config["fails"], config["picky"])

    @node("sim.child", registry=nodes)
    async def child(value: Any, context: Context) -> Any:
        """The run's id says for which task of which flow, and for which attempt of it."""
        begin(context)
        await pause(context)
        parent = _CHILD_OF.fullmatch(context.identity.run_id)
        assert parent is not None, context.identity.run_id
        task = flows[parent["flow"]].tasks.get(parent["node"], Task(parent["node"]))
        return outcome(value, task.id, int(parent["attempt"] or 1), task.fails, task.picky)

    @node("sim.rescue", mode="inline", registry=nodes)
    def rescue(value: Any, context: Context) -> Any:
        begin(context)
        return rescued(context.identity.node)

    @node("sim.undo", registry=nodes)
    async def undo(value: Any, context: Context) -> Any:
        begin(context)
        await pause(context)
        return value

    return nodes

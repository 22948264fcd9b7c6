"""A new owner that does not know what was answered says it all again: nobody loses a slot by that."""

from __future__ import annotations

import asyncio

from jetfleet.broker.definitions import define
from jetfleet.broker.versions import deploy
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import RunStarted

from ..coordinator.keepers import Keeper, Site, append, site
from ..fleet.running import run

FLOW = Flow.model_validate(
    {
        "name": "latest",
        "settings": {"concurrency": {"max": 1, "on_limit": "cancel_oldest"}},
        "nodes": {"work": {"type": "t.work"}},
    }
)
PLAN = compile_flow(FLOW)


async def settled(keeper: Keeper, around: Site) -> None:
    """Wait until nothing comes of anything any more."""
    before = -1
    while before != keeper.partition.position:
        before = keeper.partition.position
        await around.outbox.drained()
        await keeper.caught_up()


def test_a_question_that_was_answered_long_ago_drives_nobody_out(fresh_url: str) -> None:
    async def test() -> None:
        async with site(fresh_url) as around:
            await deploy(around.connection, define(FLOW))
            await around.flows.caught_up()
            keeper = await Keeper(around).take_over()
            for name in ("latest-a", "latest-b"):
                await append(around, [RunStarted(name, 1_000, "latest", PLAN.digest, None, encode({}))])
                await asyncio.wait_for(settled(keeper, around), 10)
            assert list(keeper.partition.runs) == ["latest-b"], "the newer one took the place of the other"
            await keeper.die()  # nobody knows up to where it was acknowledged
            keeper = await Keeper(around).take_over()
            await asyncio.wait_for(settled(keeper, around), 10)
            assert list(keeper.partition.runs) == ["latest-b"]
            assert [gate.held for gate in keeper.partition.gates] == [1]
            await keeper.die()

    run(test())

"""The examples with approvals on a fleet, answered by people as their headers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.engine import fold, nodes
from jetfleet.broker.waiting import SignalRejected
from jetfleet.schemas.records import RunStarted

from ..fleet.fleets import Fleet, fleet
from ..fleet.running import run
from .asking import pending

EXAMPLES = Path(__file__).parents[2] / "examples"


async def completed(one: Fleet, id: str) -> set[str]:
    """The nodes that a run has gone through, by its journal."""
    await one.log.ended(id)
    journal = one.log.journal(id)
    assert isinstance(journal[0], RunStarted)
    state = fold(await one.client.flows.fetch(journal[0].digest), journal)
    return {key for key, node in nodes(state).items() if node.status == "completed"}


def test_large_orders_ask_and_all_that_are_granted_meet_in_one_join(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(EXAMPLES / "approval.yaml")
            large, refused, small = [await one.client.send("approval", {"order_id": n, "amount": n}) for n in (25_000, 25_001, 10_000)]
            assert await completed(one, small) == {"large", "standard", "granted", "ship"}
            asked = {each.run: each for each in await pending(one, 2, assignee="sales@example.org")}
            assert asked[large].metadata == {"order_id": 25_000, "amount": 25_000}
            await one.client.answer(asked[large], "approve", by="sales")
            await one.client.answer(asked[refused], "reject", by="sales")
            assert await completed(one, large) == {"large", "approval", "approved", "granted", "ship"}
            assert await completed(one, refused) == {"large", "approval", "rejected"}

    run(test(), 40)


def test_what_the_manager_escalates_the_director_grants_with_a_budget(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(EXAMPLES / "escalation.yaml")
            id = await one.client.send("escalation", {"order_id": "A-1", "amount": 9, "manager": "mo"})
            (manager,) = await pending(one, 1, assignee="mo")
            await one.client.answer(manager, "escalate", by="mo", reason="too much for me")
            (director,) = await pending(one, 1, assignee="director@example.org")
            assert director.metadata == {"order_id": "A-1", "amount": 9}
            with pytest.raises(SignalRejected, match="budget"):
                await one.client.answer(director, "approve", response={})
            await one.client.answer(director, "approve", response={"budget": "travel"}, by="di")
            assert await completed(one, id) == {"manager", "director", "granted", "process"}

    run(test(), 40)

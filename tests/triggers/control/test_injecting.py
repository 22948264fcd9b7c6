"""Firing from the same process: what a caller is told when its trigger is paused, and when there is no such type."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.api import Client
from jetfleet.schemas.errors import UsageError
from jetfleet.triggers import NotFired, Triggers, inject

from ...fleet.running import run
from ...fleet.trouble import until

FLOW = """
name: clicks
triggers: [{id: page, type: memory}]
nodes: {seen: {type: std::log, config: {message: seen}}}
edges: [{from: page, to: seen}]
inputs: {type: object}
"""


def test_an_event_for_a_paused_trigger_waits_as_long_as_the_caller_does(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client, Triggers(client, types=("memory",), data=tmp_path) as triggers:
            await client.deploy(FLOW)
            await triggers.source("clicks", "page")
            await client.pause_trigger("clicks", "page")
            await until(lambda: triggers.state("clicks", "page") == "paused", "a trigger that is paused")
            with pytest.raises(NotFired, match=r"clicks.page \(paused\).* 0.05 s.*same key"):
                await inject(triggers, "clicks", "page", {}, key="k", timeout_s=0.05)
            await client.resume_trigger("clicks", "page")
            again = await inject(triggers, "clicks", "page", {}, key="k", timeout_s=20)
            assert set(again.runs) == {"clicks"} and not again.refused
            refused = await inject(triggers, "clicks", "page", 7)
            assert not refused.runs and refused.refused["clicks"].code == "EVENT_REJECTED"

    run(test())


def test_a_type_that_there_is_not_is_refused_with_the_nearest(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            with pytest.raises(UsageError, match="did you mean 'memory'"):
                Triggers(client, types=("memry",))

    run(test())

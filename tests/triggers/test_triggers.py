"""Triggers as a program of one's own serves them: what is fired is a run, once, whatever is fired again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jetfleet.schemas.errors import UsageError
from jetfleet.triggers import Triggers, inject

from ..fleet.fleets import NODES, fleet
from ..fleet.running import run
from .letters import kept_in

FLOW = """
name: orders
triggers:
  - {id: shop, type: memory}
  - {id: desk, type: manual, params: {parameters: [{name: id, type: integer, required: true}, {name: rush, type: boolean, default: false}]}}
nodes:
  seen: {type: f.echo}
edges:
  - {from: shop, to: seen}
  - {from: desk, to: seen}
"""


def test_a_firing_is_one_run_however_often_it_is_fired(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(FLOW, nodes=[NODES])
            async with Triggers(one.client, data=tmp_path) as triggers:
                fates = [await inject(triggers, "orders", "shop", {"id": 7}, key="order-7") for _ in range(3)]
                (run_id,) = {fate.runs["orders"] for fate in fates}
                result = await (await one.client.handle(run_id)).result()
                assert result.status == "completed"
                await one.quiet()
                assert one.log.begun == {run_id}
                view = {each.trigger: each for each in triggers.status()}
                assert view["shop"].fired == 3 and view["shop"].state == "listening" and view["desk"].fired == 0

    run(test(), 30)


def test_a_thousand_firings_at_a_time_are_a_thousand_runs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(FLOW, nodes=[NODES])
            async with Triggers(one.client, types=("memory",), data=tmp_path) as triggers:
                fates = await asyncio.gather(*(inject(triggers, "orders", "shop", {"id": number}) for number in range(1_000)))
                runs = {fate.runs["orders"] for fate in fates}
                assert len(runs) == 1_000
                await one.log.ended(*runs)
                with pytest.raises(UsageError, match="no text"):
                    await inject(triggers, "orders", "shop", {}, key="\ud800")
                with pytest.raises(UsageError, match="not served here"):
                    await triggers.source("orders", "desk")

    run(test(), 60)


def test_a_refused_value_of_megabytes_is_kept_whole_with_a_reason_that_can_be_read(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        narrow = {"name": "narrow", "inputs": {"allOf": [{"type": "integer"}, {"type": "array"}, {"type": "null"}]}}
        queue = {"triggers": [{"id": "in", "type": "queue", "params": {"name": "large"}}], "edges": [{"from": "in", "to": "seen"}]}
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(narrow | queue | {"nodes": {"seen": {"type": "f.echo"}}}, nodes=[NODES])
            text = "x" * 3_000_000
            await one.client.queue("large").send(text)
            await one.log.until(lambda: bool(one.log.letters), "a dead letter")
            (letter,) = one.log.letters
            assert kept_in(letter)[0] == text and letter.code == "EVENT_REJECTED" and len(letter.reason) < 2_500
            await one.client.queue("large").send("next")
            await one.log.until(lambda: len(one.log.letters) == 2, "the next one")

    run(test(), 30)

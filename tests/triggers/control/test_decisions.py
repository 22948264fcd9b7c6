"""What somebody decides about a trigger, and firing it by hand, from Python: what is paused waits, what is disabled is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml

from jetfleet.broker.api import NotEnded, UnknownFlow, UnknownTrigger
from jetfleet.broker.trigger_params import params_of
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import EventRejected, UsageError
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import decode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import RunStarted

from ...fleet.fleets import NODES, Fleet, fleet
from ...fleet.running import run

FLOW = """
name: orders
triggers:
  - {id: desk, type: manual, params: {parameters: [{name: id, type: integer, required: true}, {name: rush, type: boolean, default: false}]}}
  - {id: shop, type: memory}
  - {id: old, type: memory, enabled: false}
nodes:
  seen: {type: f.echo}
edges: [{from: desk, to: seen}, {from: shop, to: seen}, {from: old, to: seen}]
"""
ALONE = """
name: alone
triggers: [{id: shop, type: memory}]
nodes: {seen: {type: f.echo}}
edges: [{from: shop, to: seen}]
"""


def on_a_fleet(test: Callable[[Fleet], Awaitable[None]], url: str, folder: Path) -> None:
    async def whole() -> None:
        async with fleet(url, folder) as one:
            for each in (FLOW, ALONE):
                await one.client.deploy(each, nodes=[NODES])
            await test(one)

    run(whole(), 40)


def test_firing_by_hand_is_firing_with_parameters_meta_and_key(fresh_url: str, tmp_path: Path) -> None:
    async def test(one: Fleet) -> None:
        client = one.client
        handle = await client.fire("orders", "desk", {"id": 7}, key="k", meta={"by": "me"})
        assert handle.id == subjects.run_id("orders", "desk/k"), "the id that the trigger's own firing would have"
        assert (await handle.result(20)).output == {"id": 7, "rush": False}
        assert [decode(started.meta) for started in one.log.of(handle.id, RunStarted)] == [{"by": "me"}]
        again = await client.fire("orders", "desk", {"id": 8}, key="k")
        assert (await again.result(20)).output == {"id": 7, "rush": False}
        assert (await (await client.fire("alone", payload=1)).result(20)).output == 1
        with pytest.raises(EventRejected, match=r"'id' is a text.*did you mean 'rush'"):
            await client.fire("orders", "desk", {"id": "x", "rusch": True})
        with pytest.raises(UnknownTrigger, match="did you mean 'shop'"):
            await client.fire("orders", "shopp")
        with pytest.raises(UnknownFlow, match="did you mean 'orders'"):
            await client.fire("order", "shop")
        with pytest.raises(UsageError, match="several triggers: desk, shop;"):
            await client.fire("orders")

    on_a_fleet(test, fresh_url, tmp_path)


def test_what_is_started_by_a_paused_trigger_begins_when_it_is_resumed(fresh_url: str, tmp_path: Path) -> None:
    async def test(one: Fleet) -> None:
        client = one.client
        state = await client.pause_trigger("orders", "shop", "stocktaking")
        assert (state.state, state.reason) == ("paused", "stocktaking")
        assert await client.pause_trigger("orders", "shop", "again") == state, "what is so already is left alone"
        held = await client.start("orders", {"n": 1}, trigger="shop")
        assert "paused (stocktaking)" in held.held
        free = await client.fire("orders", "desk", {"id": 1})
        assert not free.held
        assert (await free.result(20)).completed
        with pytest.raises(NotEnded):
            await held.result(0.2)
        assert [(view.id, view.state) for view in await client.triggers("orders")] == [
            ("desk", "running"), ("shop", "paused"), ("old", "disabled"),
        ]  # fmt: skip
        await client.deploy(FLOW.replace("name: orders", "name: orders\nversion: '2'"), nodes=[NODES])
        assert (await client.trigger("orders", "shop")).reason == "stocktaking", "it outlives deployments"
        await client.resume_trigger("orders", "shop")
        assert (await held.result(20)).output == {"n": 1}

    on_a_fleet(test, fresh_url, tmp_path)


def test_a_disabled_trigger_is_as_if_it_were_not_there(fresh_url: str, tmp_path: Path) -> None:
    async def test(one: Fleet) -> None:
        client = one.client
        await client.disable_trigger("orders", "shop", "no more")
        for call in (client.start("orders", {}, trigger="shop"), client.fire("orders", "shop")):
            with pytest.raises(UsageError, match="jetfleet trigger enable orders shop"):
                await call
        assert client.chosen_trigger("orders") == "desk", "the only one that is left"
        for decide in (client.pause_trigger, client.resume_trigger):
            with pytest.raises(UsageError, match="is disabled"):
                await decide("orders", "shop")
        await client.disable_trigger("alone", "shop")
        with pytest.raises(UsageError, match="all triggers of flow 'alone' are disabled"):
            await client.start("alone", {})
        await client.enable_trigger("orders", "shop")
        assert (await (await client.fire("orders", "shop", 1)).result(20)).completed

    on_a_fleet(test, fresh_url, tmp_path)


def test_what_the_definition_switches_off_is_switched_on_there(fresh_url: str, tmp_path: Path) -> None:
    async def test(one: Fleet) -> None:
        client = one.client
        for decide in (client.pause_trigger, client.enable_trigger):
            with pytest.raises(UsageError, match="enabled: true"):
                await decide("orders", "old")
        view = await client.trigger("orders", "old")
        assert (view.state, view.in_flow, view.served) == ("disabled", False, {})
        with pytest.raises(UnknownTrigger, match="it has: desk, shop, old"):
            await client.disable_trigger("orders", "nothing")

    on_a_fleet(test, fresh_url, tmp_path)


def test_the_params_of_a_version_are_read_once_and_not_with_every_change_of_any_flow() -> None:
    plan = compile_flow(Flow.model_validate(yaml.safe_load(ALONE)))
    assert params_of(plan, plan.triggers[0]) is params_of(plan, plan.triggers[0])

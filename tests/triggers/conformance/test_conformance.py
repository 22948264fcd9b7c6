"""What every adapter must hold, one world outside after the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.triggers.source import Source
from jetfleet.schemas.payload import NULL

from ...fleet.background import BackgroundServer
from ...fleet.fleets import fleet
from ...fleet.running import run
from ...fleet.trouble import frozen, until
from .outside import Outside, Refused
from .stage import DEADLINE_S, all_run, every_world, flow, numbers, served, started, world_of

COUNT = 20


@every_world
def test_each_happening_is_one_run_of_the_trigger_that_fired(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            fleet(fresh_url, tmp_path) as one,
            world_of(world, one) as outside,
            served(one, outside, flow("first", outside)) as triggers,
        ):
            await outside.happen_all(range(COUNT))
            await all_run(one, outside, range(COUNT))
            await one.log.ended(*(record.run for record in started(one)))
            for record in started(one):
                assert record.trigger == "in"
                assert record.meta != NULL, "what the trigger says about its event is there"
                assert [len(one.log.journal(record.run))] == [2], "one node has run: what hangs on the other trigger has not"
            (status,) = [each for each in triggers.status() if each.trigger == "in"]
            assert (status.fired, status.in_flight, status.state) == (COUNT, 0, "listening")

    run(test(), DEADLINE_S)


@every_world
def test_the_same_happening_seen_again_is_no_second_run(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one, world_of(world, one) as outside:
            async with served(one, outside, flow("first", outside)):
                await outside.happen_all(range(5))
                await all_run(one, outside, range(5))
                for number in range(5):
                    await outside.again(number)
                await outside.happen(5)
            async with served(one, outside, flow("first", outside), folder="of another process"):
                await outside.happen(6)
                await all_run(one, outside, range(7))

    run(test(), DEADLINE_S)


@every_world
def test_nothing_is_confirmed_before_its_event_is_on_disk(world: type[Outside], server_factory: Any, tmp_path: Path) -> None:
    async def test(server: BackgroundServer) -> None:
        async with (
            fleet(server.url, tmp_path) as one,
            world_of(world, one) as outside,
            served(one, outside, flow("first", outside)) as triggers,
        ):
            confirmed = confirmations(await triggers.source("first", "in"))
            with frozen(server):
                happening = asyncio.create_task(outside.happen_all(range(5)))
                await asyncio.wait([happening], timeout=1)
                assert confirmed == [], "the server has stored nothing"
                assert not (outside.tells and happening.done())
            await happening
            await all_run(one, outside, range(5))
            await until(lambda: len(confirmed) >= 5, "confirmations")

    server = server_factory()
    run(test(server), DEADLINE_S)


def confirmations(source: Source) -> list[str]:
    """The keys that are confirmed to a source, from now on."""
    keys: list[str] = []
    confirm = source.confirm

    def noting(firing: Any, fate: Any) -> None:
        keys.append(firing.key)
        confirm(firing, fate)

    source.confirm = noting  # type: ignore[method-assign]
    return keys


@every_world
def test_what_happens_while_a_trigger_is_paused_waits_or_is_turned_away(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one, world_of(world, one) as outside, served(one, outside, flow("first", outside)):
            await outside.happen(0)
            await all_run(one, outside, [0])
            await one.client.pause_trigger("first", "in", "stock-taking")
            happening = asyncio.create_task(outside.happen_all(range(1, 5)))
            await asyncio.wait([happening], timeout=1)
            await one.quiet()
            assert set(numbers(one, outside)) == {0}
            await one.client.resume_trigger("first", "in")
            if outside.waits:
                await happening
                await all_run(one, outside, range(5))
            else:
                with pytest.raises(Refused):
                    await happening
                await outside.happen(5)
                await all_run(one, outside, [0, 5])

    run(test(), DEADLINE_S)


@every_world
def test_triggers_with_the_same_params_share_what_happens(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            fleet(fresh_url, tmp_path) as one,
            world_of(world, one) as outside,
            served(one, outside, flow("first", outside), flow("second", outside)) as triggers,
        ):
            await triggers.source("second", "in")
            await outside.happen_all(range(5))
            await all_run(one, outside, range(5), "first")
            await all_run(one, outside, range(5), "second")

    if world.type in ("memory", "manual", "cron"):
        pytest.skip("each trigger of this type is a source of its own")
    run(test(), DEADLINE_S)


@every_world
def test_what_a_flow_refuses_is_told_or_kept_and_the_next_one_runs(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            fleet(fresh_url, tmp_path) as one,
            world_of(world, one) as outside,
            served(one, outside, flow("first", outside, inputs=outside.narrow())),
        ):
            await outside.happen(1)
            if outside.tells:
                with pytest.raises(Refused, match=r"EVENT_REJECTED.*maximum"):
                    await outside.happen(9)
            else:
                await outside.happen(9)
                await one.log.until(lambda: bool(one.log.letters), "a dead letter", DEADLINE_S)
                (letter,) = one.log.letters
                assert letter.code == "EVENT_REJECTED" and letter.subject == "events.first.in"
            await outside.happen(2)
            await all_run(one, outside, [1, 2])

    run(test(), DEADLINE_S)


@every_world
def test_a_disabled_trigger_is_not_served_and_an_enabled_one_is(world: type[Outside], fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            fleet(fresh_url, tmp_path) as one,
            world_of(world, one) as outside,
            served(one, outside, flow("first", outside)) as triggers,
        ):
            await outside.happen(0)
            await all_run(one, outside, [0])
            await one.client.disable_trigger("first", "in")
            await until(lambda: triggers.status() == [] or all(each.trigger != "in" for each in triggers.status()), "a closed source")
            await one.client.enable_trigger("first", "in")
            await triggers.source("first", "in")
            await outside.happen(1)
            await all_run(one, outside, [0, 1])

    run(test(), DEADLINE_S)

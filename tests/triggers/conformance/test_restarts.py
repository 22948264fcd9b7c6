"""What every adapter must hold when its process ends in the middle, and another one begins where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from jetfleet.broker.triggers import supervisor as lives
from jetfleet.broker.triggers.emitter import Emitter
from jetfleet.triggers import Triggers

from ...fleet.fleets import fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .outside import Outside, Refused
from .stage import DEADLINE_S, all_run, every_world, flow, served, started, world_of

FIRST, COUNT = 5, 40


@every_world
def test_what_is_confirmed_never_comes_again_and_what_is_not_comes_again_after_each_end(
    world: type[Outside], fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process dies: some firings have no event yet, of some the event is not confirmed. The third ends in order, in the middle."""
    monkeypatch.setattr(lives, "DRAIN_S", 0.1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one, world_of(world, one) as outside:
            async with served(one, outside, flow("first", outside)):
                await outside.happen_all(range(FIRST))
                await all_run(one, outside, range(FIRST))
            async with served(one, outside, flow("first", outside)) as triggers:
                cut_off(triggers)
                happening = asyncio.create_task(persistently(outside, range(FIRST, COUNT)))
                most = (await triggers.source("first", "in")).in_flight_max
                await until(lambda: in_flight(triggers) >= min(4, most), "firings in the middle")
                assert fired(triggers) == in_flight(triggers) <= COUNT - FIRST, "what was confirmed has not come again"
            async with served(one, outside, flow("first", outside)):
                await one.log.until(lambda: len(started(one)) >= FIRST + 3, "some more runs", DEADLINE_S)
            async with served(one, outside, flow("first", outside)):
                await happening
                await all_run(one, outside, range(COUNT))

    run(test(), DEADLINE_S)


def fired(triggers: Triggers) -> int:
    return sum(each.fired for each in triggers.status() if each.trigger == "in")


def in_flight(triggers: Triggers) -> int:
    return sum(each.in_flight for each in triggers.status() if each.trigger == "in")


def cut_off(triggers: Triggers) -> None:
    """From now on nothing is confirmed, and of every other firing no event gets on disk."""
    emit, count = Emitter.emit, iter(range(1_000))

    def lost(source: object, bound: object, firing: object, done: object) -> None:
        if next(count) % 2:
            emit(triggers._emitter, source, bound, firing, lambda *_: None)  # type: ignore[arg-type]

    triggers._emitter.emit = lost  # type: ignore[method-assign,assignment]


async def persistently(outside: Outside, numbers: Iterable[int]) -> None:
    """Who is refused, or finds nobody, tries the same again."""

    async def one(number: int) -> None:
        while True:
            try:
                await outside.happen(number)
                return
            except Refused:
                await asyncio.sleep(0.05)

    await asyncio.gather(*(one(number) for number in numbers))

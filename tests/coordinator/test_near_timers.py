"""Timers in memory: in order, never early by the wall clock, whatever somebody does to that clock, and never at the cost of everybody else."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from jetfleet.broker.coordinator import timers
from jetfleet.broker.coordinator.timers import NearTimers
from jetfleet.schemas.effects import SetTimer
from jetfleet.schemas.records import TimerFired, TimerId

from ..fleet.running import run

HOUR_S = 3_600


class Clock:
    """A wall clock that somebody sets. It runs with the loop's."""

    def __init__(self) -> None:
        self.set_by_s = 0.0
        self._began = asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return 1_800_000_000 + self.set_by_s + asyncio.get_running_loop().time() - self._began

    @property
    def now_ms(self) -> int:
        return int(self() * 1_000)


class Watch:
    """Timers with a clock, and what they fired."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.fired: list[TimerFired] = []
        self.rang = asyncio.Event()
        self.near = NearTimers(self._take, self.clock)
        self.near.replace(())

    def set(self, number: int, in_ms: float) -> int:
        due = int(self.clock.now_ms + in_ms)
        self.near.set(SetTimer("r/1", timer(number), due))
        return due

    async def until_fired(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.fired) < count:
                self.rang.clear()
                await self.rang.wait()

    def _take(self, record: TimerFired) -> None:
        self.fired.append(record)
        self.rang.set()


def timer(number: int) -> TimerId:
    return TimerId((number,), "delay", 1)


def test_timers_fire_in_order_once_and_not_early() -> None:
    async def test() -> None:
        watch, chance = Watch(), Random(7)
        due = {timer(number): watch.set(number, chance.randrange(200)) for number in range(200)}
        for number in range(0, 200, 3):  # some are moved, some are cleared
            due[timer(number)] = watch.set(number, 250)
        for number in range(1, 200, 3):
            assert watch.near.clear("r/1", timer(number))
            del due[timer(number)]
        await watch.until_fired(len(due))
        assert {record.timer for record in watch.fired} == set(due) and len(watch.fired) == len(due)
        assert all(record.at >= due[record.timer] for record in watch.fired)
        moments = [due[record.timer] for record in watch.fired]
        assert moments == sorted(moments) and len(watch.near) == 0

    run(test())


def test_a_clock_that_is_set_forward_makes_timers_due_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "LOOK_S", 0.02)

    async def test() -> None:
        watch = Watch()
        due = watch.set(1, HOUR_S * 1_000)
        watch.clock.set_by_s += HOUR_S + 1
        await watch.until_fired(1)
        assert watch.fired[0].at >= due

    run(test())


def test_a_clock_that_is_set_back_makes_timers_wait_for_their_time_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "LOOK_S", 0.02)

    async def test() -> None:
        watch = Watch()
        due = watch.set(1, 60)
        watch.clock.set_by_s -= 0.2
        await watch.until_fired(1)
        assert watch.fired[0].at >= due and len(watch.fired) == 1

    run(test())


def test_nothing_fires_before_the_timers_were_put_in_order() -> None:
    async def test() -> None:
        watch = Watch()
        watch.near = NearTimers(watch.fired.append, watch.clock)
        watch.set(1, -1_000)
        watch.set(2, -1_000)
        turns = asyncio.get_running_loop()
        for _ in range(10):  # what was armed would ring within these turns
            turned = turns.create_future()
            turns.call_later(0.002, turned.set_result, None)
            await turned
        assert watch.fired == []
        watch.near.replace([SetTimer("r/1", timer(2), watch.clock.now_ms)])
        async with asyncio.timeout(10):
            while not watch.fired:
                await asyncio.sleep(0)
        assert [record.timer for record in watch.fired] == [timer(2)]

    run(test())


def test_very_many_that_are_due_at_once_give_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "FIRED_MAX", 10)

    async def test() -> None:
        watch = Watch()
        watch.near.replace(SetTimer("r/1", timer(number), watch.clock.now_ms - 1) for number in range(100))
        between: list[int] = []
        while len(watch.fired) < 100:
            await asyncio.sleep(0)
            between.append(len(watch.fired))
        assert set(range(10, 100, 10)) <= set(between)

    run(test())

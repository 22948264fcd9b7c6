"""Timers in memory: each fires once, in order, never before its time, and not at all once it was cleared."""

from __future__ import annotations

import asyncio
import time
from random import Random

from jetfleet.broker.coordinator.timers import NearTimers
from jetfleet.schemas.effects import SetTimer
from jetfleet.schemas.records import TimerFired, TimerId

from ..fleet.running import run
from ..fleet.trouble import until


def timer(number: int, due: int, attempt: int = 1) -> SetTimer:
    return SetTimer(f"run/{number}", TimerId((number,), "delay", attempt), due)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Fired:
    """Timers with the records that came of them, and when by the wall clock."""

    def __init__(self) -> None:
        self.records: list[TimerFired] = []
        self.at_ms: list[int] = []
        self.timers = NearTimers(self._take)

    def _take(self, record: TimerFired) -> None:
        self.records.append(record)
        self.at_ms.append(now_ms())

    @property
    def runs(self) -> list[int]:
        return [int(record.run.partition("/")[2]) for record in self.records]


def test_they_fire_in_order_and_never_early() -> None:
    async def test() -> None:
        fired, began = Fired(), now_ms()
        order = list(range(40))
        Random(3).shuffle(order)
        for number in order:
            fired.timers.set(timer(number, began + 2 * number))
        await until(lambda: len(fired.records) == 40, "all have fired")
        assert fired.runs == list(range(40))
        assert all(
            at >= began + 2 * number and record.at >= began + 2 * number
            for number, at, record in zip(fired.runs, fired.at_ms, fired.records, strict=True)
        )
        assert len(fired.timers) == 0

    run(test())


def test_those_that_are_due_already_fire_at_once() -> None:
    async def test() -> None:
        fired = Fired()
        fired.timers.set(timer(1, 5))
        fired.timers.set(timer(0, 4))
        await until(lambda: len(fired.records) == 2, "both have fired")

    run(test())


def test_one_that_was_cleared_does_not_fire() -> None:
    async def test() -> None:
        fired, soon = Fired(), now_ms() + 20
        for number in range(3):
            fired.timers.set(timer(number, soon))
        assert fired.timers.clear("run/1", timer(1, 0).timer)
        assert not fired.timers.clear("run/1", timer(1, 0).timer)
        assert not fired.timers.clear("run/0", timer(0, 0, attempt=2).timer)
        await until(lambda: len(fired.records) == 2, "the others have fired")
        assert sorted(fired.runs) == [0, 2]

    run(test())


def test_one_that_is_set_again_fires_once_at_its_new_time() -> None:
    async def test() -> None:
        fired, soon = Fired(), now_ms() + 10
        fired.timers.set(timer(0, soon))
        fired.timers.set(timer(0, soon + 30))
        fired.timers.set(timer(1, soon + 40))
        await until(lambda: len(fired.records) == 2, "both have fired")
        assert fired.runs == [0, 1] and fired.records[0].at >= soon + 30

    run(test())


def test_clearing_most_of_very_many_leaves_the_others() -> None:
    async def test() -> None:
        fired, soon = Fired(), now_ms() + 30
        for number in range(2_000):
            fired.timers.set(timer(number, soon + number % 7))
        for number in range(2_000):
            if number % 100:
                assert fired.timers.clear(f"run/{number}", timer(number, 0).timer)
        assert len(fired.timers) == 20
        await until(lambda: len(fired.records) == 20, "those that are left have fired")
        assert sorted(fired.runs) == list(range(0, 2_000, 100))

    run(test())


def test_replacing_forgets_what_was_set_before() -> None:
    async def test() -> None:
        fired, soon = Fired(), now_ms() + 10
        fired.timers.set(timer(0, soon))
        fired.timers.replace([timer(1, soon + 10), timer(2, soon)])
        await until(lambda: len(fired.records) == 2, "the new ones have fired")
        assert fired.runs == [2, 1]

    run(test())


def test_after_a_stop_nothing_fires() -> None:
    async def test() -> None:
        fired, others = Fired(), Fired()
        fired.timers.set(timer(0, now_ms() + 5))
        fired.timers.stop()
        others.timers.set(timer(1, now_ms() + 15))
        await until(lambda: len(others.records) == 1, "a later one of somebody else has fired")
        assert not fired.records

    asyncio.run(test())

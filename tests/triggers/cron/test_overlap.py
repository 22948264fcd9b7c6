"""What a time does that finds the run of an earlier one still open."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from jetfleet.schemas.payload import decode

from ...fleet.fleets import Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from . import stage

WAITING = {"type": "std::wait", "config": {"signal": "go on"}}


async def one_open_run(one: Fleet, overlap: str | None) -> str:
    """The id of the run of the first time, which stays open."""
    policy = {} if overlap is None else {"overlap": overlap}
    await stage.deploy(one, stage.EVERY_SECOND, WAITING, **policy)
    await stage.many(one, 1)
    return stage.runs(one)[0].run


def test_by_default_the_time_is_skipped(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            first = await one_open_run(one, None)
            source = await stage.source(one.coordinators[0])
            await until(lambda: source.skipped >= 2, "skipped times")
            assert [each.run for each in stage.runs(one)] == [first]
            assert "2 skipped" in source.status()
            await one.client.signal(first, "go on")
            await stage.many(one, 2)
            before, after = stage.runs(one)[:2]
            between = (stage.scheduled_at(after) - stage.scheduled_at(before)).total_seconds()
            assert decode(after.meta)["missed"] == between - 1 >= 2

    run(test(), 40)


def test_a_time_that_is_queued_runs_when_the_run_before_it_has_ended(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            first = await one_open_run(one, "queue")
            while not ((waiting := (await stage.chain(one).fired()).tick) and waiting.is_decided):
                await asyncio.sleep(0.02)
            assert [each.run for each in stage.runs(one)] == [first]
            await one.client.signal(first, "go on")
            found = await stage.many(one, 2)
            assert found[1] == found[0] + timedelta(seconds=1)
            await one.log.ended(first)

    run(test(), 40)


def test_the_run_before_it_may_be_cancelled(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            first = await one_open_run(one, "cancel_running")
            (ended,) = await one.log.ended(first)
            assert ended.status == "cancelled"
            assert stage.without_a_gap(await stage.many(one, 3))

    run(test(), 40)


def test_or_they_run_beside_each_other(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one_open_run(one, "allow")
            assert stage.without_a_gap(await stage.many(one, 3))
            assert all(one.log.summary(each.run) is None for each in stage.runs(one))

    run(test(), 40)

"""What a time does that finds the run of an earlier one still open. The policies are looked at side by side: each takes some seconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jetfleet.broker.triggers.cron import missed
from jetfleet.schemas.payload import decode

from ...fleet.fleets import Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from . import stage

WAITING = {"type": "std::wait", "config": {"signal": "go on"}}


async def skipped(one: Fleet) -> None:
    """By default: the time becomes no run, and the next run says how many did not."""
    sweep = stage.Sweep(one, "skipping")
    await sweep.deploy(stage.EVERY_SECOND, WAITING)
    await sweep.many(1)
    (first,) = sweep.runs()
    source = await sweep.source(one.coordinators[0])
    await until(lambda: source.skipped >= 2, "skipped times")
    assert sweep.runs() == [first]
    assert " skipped" in source.status()
    await one.client.signal(first.run, "go on")
    await sweep.many(2)
    second = sweep.runs()[1]
    between = (stage.scheduled_at(second) - stage.scheduled_at(first)).total_seconds()
    assert decode(second.meta)["missed"] == between - 1 >= 2


async def queued(one: Fleet) -> None:
    """It runs when the run before it has ended."""
    sweep = stage.Sweep(one, "queueing")
    await sweep.deploy(stage.EVERY_SECOND, WAITING, overlap="queue")
    await sweep.many(1)
    (first,) = sweep.runs()
    await sweep.waiting(lambda tick: tick.is_decided)
    assert sweep.runs() == [first]
    await one.client.signal(first.run, "go on")
    assert stage.without_a_gap((await sweep.many(2))[:2])
    await one.log.ended(first.run)


async def cancelling(one: Fleet) -> None:
    """The run before it is cancelled."""
    sweep = stage.Sweep(one, "cancelling")
    await sweep.deploy(stage.EVERY_SECOND, WAITING, overlap="cancel_running")
    assert stage.without_a_gap(await sweep.many(3))
    (ended, _) = await one.log.ended(*(each.run for each in sweep.runs()[:2]))
    assert ended.status == "cancelled"


async def beside(one: Fleet) -> None:
    """They run beside each other."""
    sweep = stage.Sweep(one, "allowing")
    await sweep.deploy(stage.EVERY_SECOND, WAITING, overlap="allow")
    assert stage.without_a_gap(await sweep.many(3))
    assert all(one.log.summary(each.run) is None for each in sweep.runs())


def test_a_time_is_skipped_or_waits_or_cancels_the_run_before_it_or_runs_beside_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await asyncio.gather(skipped(one), queued(one), cancelling(one), beside(one))

    run(test(), 40)


def test_a_schedule_shorter_than_its_runs_makes_up_for_what_was_missed_and_comes_back_to_the_present(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "GRACE", stage.SECOND)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, WAITING, catch_up="one")
            await sweep.many(1)
            (first,) = sweep.runs()
            source = await sweep.source(one.coordinators[0])
            await one.client.pause_trigger(sweep.name, stage.TRIGGER)
            await sweep.waiting(lambda tick: tick.held)
            await one.client.resume_trigger(sweep.name, stage.TRIGGER)
            made_up = (await sweep.waiting(lambda tick: tick.is_decided)).time
            await until(lambda: datetime.now(UTC) > made_up + 4 * stage.SECOND, "times that pass while it waits for the first run")
            await one.client.signal(first.run, "go on")
            assert (await sweep.many(2))[1] == made_up, "one is made up for"
            skipped = source.skipped
            await until(lambda: source.skipped > skipped + 1, "times that are skipped: none of them is made up for")
            ended_at = datetime.now(UTC)
            await one.client.signal(sweep.runs()[1].run, "go on")
            assert (await sweep.many(3))[2] > ended_at - 3 * stage.SECOND, "the present"

    run(test(), 40)

"""Cron triggers on a fleet: each time is one run, whoever serves it, whoever dies, and however clocks are set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.triggers.cron.chain import Chain
from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode

from ...fleet.fleets import Fleet, fleet
from ...fleet.running import run
from ...fleet.trouble import restarted, until
from . import stage


def test_every_second_is_one_run_with_two_coordinators_and_when_one_of_them_leaves(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow", timezone="Europe/Berlin")
            await sweep.many(2)
            await one.leave(one.coordinators[0])
            found = await sweep.many(4)
            assert stage.without_a_gap(found)
            for started in sweep.runs():
                payload, meta = decode(started.payload), decode(started.meta)
                local = datetime.fromisoformat(payload["local_time"])
                assert local == stage.scheduled_at(started) and local.utcoffset() != timedelta(0)
                assert (meta["scheduled_at"], meta["schedule"], meta["timezone"], meta["missed"]) == (
                    payload["scheduled_at"], stage.EVERY_SECOND, "Europe/Berlin", 0,
                )  # fmt: skip
                assert started.trigger == stage.TRIGGER and meta["late_ms"] >= 0

    run(test(), 40)


def test_what_dies_between_the_event_and_the_next_link_is_carried_on_by_another(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            dying = one.coordinators[0]
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            reached = hanging_before_the_next_link(await sweep.source(dying))
            await reached.wait()
            await one.coordinator()
            await one.crash(dying)
            found = await sweep.many(3)
            assert stage.without_a_gap(found)

    run(test(), 40)


def test_a_tick_that_was_held_when_its_source_was_closed_with_no_answer_comes_again(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> bool:
        await asyncio.Event().wait()
        return False

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep, other = stage.Sweep(one), stage.Sweep(one, "other")
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            await other.deploy(stage.FAR)  # so that the ticks of all stay open
            (coordinator,) = one.coordinators
            with monkeypatch.context() as patch:
                patch.setattr(Chain, "set", silent)
                reached = hanging_before_the_next_link(await sweep.source(coordinator))
                await reached.wait()
                patch.setattr(Chain, "link", silent)
                await one.client.disable_trigger(sweep.name, stage.TRIGGER)
                await until(lambda: not any(each.flow == sweep.name for each in coordinator.triggers.served()), "a source that is given up")
                await until(lambda: not coordinator.triggers._triggers._leaving, "a source that is closed")
            ticks = (await other.source(coordinator))._ticks
            assert ticks is not None
            await until(lambda: not ticks._held, "no tick that nobody looks after")
            before = len(sweep.times())
            await one.client.enable_trigger(sweep.name, stage.TRIGGER)
            await sweep.many(before + 2)

    run(test(), 40)


def hanging_before_the_next_link(source: Any) -> asyncio.Event:
    """Let it stop where its event is on disk and nothing else is."""
    reached = asyncio.Event()

    async def set(*_: object) -> bool:
        reached.set()
        await asyncio.Event().wait()
        return False

    source._chain.set = set
    return reached


def test_what_fires_while_nobody_is_there_waits_on_the_server_even_if_that_is_killed(server_factory: Any, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(server.url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            before = await sweep.many(2)
            await one.leave(one.coordinators[0])
            end = (await sweep.waiting(lambda tick: True)).time + stage.SECOND
            await restarted(server)
            await until(lambda: datetime.now(UTC) > end, "some times have passed")
            await one.coordinator()
            found = await sweep.many(len(before) + 3)
            await restarted(server)
            found = await sweep.many(len(found) + 1)
            assert stage.without_a_gap(found), "a few seconds are not missed, whatever the policy"

    server = server_factory()
    run(test(), 40)


async def clock_is_set_ahead_and_back(one: Fleet) -> None:
    """It neither loses nor doubles a time."""
    sweep = stage.Sweep(one, "set")
    await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
    source = await sweep.source(one.coordinators[0])
    right = source._clock
    source._clock = lambda: right() + 3_600_000
    found = await sweep.many(2)
    source._clock = lambda: right() - 3_600_000
    found = await sweep.many(len(found) + 2)
    assert stage.without_a_gap(found)
    assert all(decode(started.meta)["late_ms"] < 60_000 for started in sweep.runs()), "by the server's clock"


async def paused_and_resumed(one: Fleet) -> None:
    """It fires nothing meanwhile, and catches up with the last time."""
    sweep = stage.Sweep(one, "paused")
    await sweep.deploy(stage.EVERY_SECOND, catch_up="one", overlap="allow")
    await sweep.many(1)
    await one.client.pause_trigger(sweep.name, stage.TRIGGER, "stock-taking")
    held = await sweep.waiting(lambda tick: tick.held)
    end = held.time + 2 * stage.SECOND
    await until(lambda: datetime.now(UTC) > end, "some times have passed")
    before = sweep.times()
    assert before[-1] < held.time
    await one.client.resume_trigger(sweep.name, stage.TRIGGER)
    found = await sweep.many(len(before) + 2)
    first = sweep.runs()[len(before)]
    assert decode(first.meta)["missed"] == (found[len(before)] - before[-1]).total_seconds() - 1 >= 2
    assert stage.without_a_gap(found[len(before) :])


def test_a_coordinator_whose_clock_is_wrong_and_a_trigger_that_is_paused(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await asyncio.gather(clock_is_set_ahead_and_back(one), paused_and_resumed(one))

    run(test(), 40)


def test_a_server_whose_clock_was_set_sends_a_time_early_or_twice_and_it_is_one_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.FAR)
            await sweep.scheduled()
            early = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
            for _ in range(3):
                await sweep.feed(early, schedule=stage.FAR)
            await sweep.feed(early + timedelta(hours=1), schedule=stage.FAR)
            await sweep.many(2)
            await one.quiet()
            assert sweep.times() == [early, early + timedelta(hours=1)]
            link = await sweep.scheduled()
            assert link.tick is not None and link.tick.time.month == 1, "what was scheduled still is"

    run(test(), 40)


def test_missed_times_are_made_up_for_as_the_trigger_says(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        params = {"schedule": "0 * * * *", "catch_up": "all", "catch_up_max": 3}
        async with fleet(fresh_url, tmp_path) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(**params)  # type: ignore[arg-type]
            link = await sweep.scheduled()
            assert link.tick is not None
            await sweep.chain.remove(link)  # as if the one that follows had fired, ten hours ago
            await sweep.feed(link.tick.time - timedelta(hours=10), **params)
            found = await sweep.many(3)
            following = (await sweep.scheduled()).tick
            assert found == [found[0] + n * timedelta(hours=1) for n in range(3)]
            assert following is not None and following.time - found[-1] <= timedelta(hours=2)
            assert [decode(started.meta)["missed"] for started in sweep.runs()][1:] == [0, 0]
            assert decode(sweep.runs()[0].meta)["missed"] >= 6

    run(test(), 40)


def test_another_schedule_takes_the_place_of_the_first_and_a_trigger_that_is_gone_leaves_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2, workers=0) as one:
            sweep = stage.Sweep(one)

            async def none_left() -> None:
                while await one.client.connection.streams.subjects(subjects.TIMERS, ">"):
                    await asyncio.sleep(0.02)

            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            await sweep.many(2)
            await sweep.deploy(stage.FAR)
            while (link := await sweep.scheduled()).tick is None or link.tick.time.month != 1:
                await asyncio.sleep(0.02)
            assert link.tick.previous, "it is known which run was the last"
            await one.client.disable_trigger(sweep.name, stage.TRIGGER)
            await none_left()
            await one.client.enable_trigger(sweep.name, stage.TRIGGER)
            await sweep.scheduled()
            await one.client.undeploy(sweep.name)
            await none_left()
            assert stage.without_a_gap(sweep.times())

    run(test(), 40)


def test_a_chain_that_is_broken_is_mended_by_whoever_comes(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.FAR)
            link = await sweep.scheduled()
            await sweep.chain.remove(link)
            await asyncio.gather(one.coordinator(), one.coordinator())
            mended = await sweep.scheduled()
            assert mended.tick == link.tick
            for coordinator in one.coordinators:
                await (await sweep.source(coordinator))._mend()
            assert (await sweep.chain.link()).seq == mended.seq, "nobody sets what is there"

    run(test(), 40)


def test_a_tick_of_a_trigger_that_is_deployed_nowhere_is_dropped(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.FAR)
            await sweep.source(one.coordinators[0])
            streams = one.client.connection.streams
            await one.client.connection.publisher.publish(subjects.tick("gone", "tick"), b"")
            await sweep.feed(datetime.now(UTC), schedule="0 5 * * *")  # of an old version of the flow
            while await streams.subjects(subjects.TIMERS, "tick.>"):
                await asyncio.sleep(0.02)
            await one.quiet()
            assert sweep.times() == [] and one.log.letters == []

    run(test(), 40)

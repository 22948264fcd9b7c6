"""Events for runs that wait: each reaches those whose fields fit and leaves all others alone, whoever owns them since when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.coordinator import broadcast, owner
from jetfleet.broker.coordinator.open_run import OpenRun
from jetfleet.schemas.records import EventReceived, SignalReceived

from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until


def waiting(name: str, **config: Any) -> dict[str, Any]:
    return flow(name, {"wait": {"type": "std::wait", "config": {"event": "paid"} | config}, "end": {"type": "f.echo"}})


PAID = waiting("orders", correlate={"order.id": "${trigger.payload.n}"})
ANY = waiting("curious")
TWO = waiting("careful", correlate={"order.id": "${trigger.payload.n}", "currency": "EUR"})


def held(one: Fleet) -> dict[str, OpenRun]:
    """Every run as the coordinators of this loop hold it."""
    owners = [owner for each in one.coordinators for owner in each.owners.values()]
    return {id: open for owner in owners if owner.partition is not None for id, open in owner.partition.runs.items()}


async def resting(one: Fleet, count: int) -> None:
    await until(lambda: sum(open.rests for open in held(one).values()) == count, f"{count} runs that rest")


def test_an_event_touches_the_runs_that_it_fits_and_the_others_go_on_resting(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.05)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(PAID, TWO)
            ids = [await sending for sending in one.ids("orders", 60)]
            careful = await one.client.send("careful", {"n": 7})
            await resting(one, 61)
            await one.client.event("paid", {"order": {"id": 7}, "currency": "USD"})
            await one.log.ended(ids[7])
            await one.quiet()
            assert {id for id, open in held(one).items() if not open.rests} == set()

            await one.crash(one.coordinators[0])  # the next owner has nothing but the snapshots
            await one.coordinator()
            await resting(one, 60)
            await one.client.event("paid", {"order": {"id": 8}})
            await one.client.event("paid", {"order": {"id": 7}, "currency": "EUR"})
            await one.client.event("paid", {"order": "of another kind"})
            await one.log.ended(ids[8], careful)
            await one.quiet()
            assert all(open.rests for open in held(one).values()) and len(held(one)) == 58
            heard = {id for id in [*ids, careful] for record in one.log.journal(id) if isinstance(record, EventReceived)}
            assert heard == {ids[7], ids[8], careful}

    run(test())


def test_an_event_for_another_is_lost_on_a_run_that_waits_for_one_of_that_name(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        twice = flow(
            "twice",
            {
                "first": {"type": "std::wait", "config": {"event": "paid", "correlate": {"part": "1"}}},
                "second": {"type": "std::wait", "config": {"event": "paid", "correlate": {"part": "2"}}},
            },
        )
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(twice)
            id = await one.client.send("twice")
            await until(lambda: one.open_run(id) is not None, "the run")
            for part in (2, 1, 2):
                await one.client.event("paid", {"part": part})
            await one.log.ended(id)
            assert len([record for record in one.log.journal(id) if isinstance(record, EventReceived)]) == 2

    run(test())


def test_a_broadcast_to_many_gives_way_and_keeps_the_order_of_the_log(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "TURN_S", 0)  # after each run somebody else has a turn

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            both = flow(
                "both",
                {
                    "wait": {"type": "std::wait", "config": {"event": "paid"}},
                    "then": {"type": "std::wait", "config": {"signal": "go"}},
                },
            )
            await one.deploy(both)
            ids = [await sending for sending in one.ids("both", 100)]
            await until(lambda: len(held(one)) == 100, "the runs")
            await one.client.event("paid", 1, id="once")
            await one.client.event("paid", 2, id="again")
            for id in ids:
                await one.client.signal(id, "go")
            await one.log.ended(*ids)
            for id in ids:
                kinds = [type(record) for record in one.log.journal(id)[1:]]
                assert kinds == [EventReceived, SignalReceived]

    run(test())


def test_who_correlates_with_nothing_hears_every_event_of_the_name(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(ANY, PAID)
            curious, other = await one.client.send("curious", 1), await one.client.send("orders", {"n": 1})
            await until(lambda: len(held(one)) == 2, "the runs")
            await one.client.event("paid", {"order": {"id": 2}})
            await one.log.ended(curious)
            await one.quiet()
            assert list(held(one)) == [other] and one.log.of(other, EventReceived) == []

    run(test())

"""Coordinators that are killed while limits are full: no slot is lost, none is given twice, everything completes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.schemas import subjects

from ..fleet.fleets import LONG_S, coordinator_process
from ..fleet.running import run
from ..fleet.trouble import until
from .limited import limited, limited_fleet

PARTITIONS = 2
KEYS = ("a", "b", "c", "d")


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_kill_9_of_the_owner_of_gates_and_holders_loses_no_slot(fresh_url: str, tmp_path: Path, times: int) -> None:
    """One partition is the killed coordinator's: it has gates of runs that live here, and runs whose gates live here."""

    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            here = one.fleet.coordinators[0]
            await one.deploy(limited("orders", {"concurrency": {"max": 2, "key": "${trigger.payload.key}"}}, concurrency={"max": 5}))
            homes = {subjects.partition_of(f"=flow:orders:{key}", PARTITIONS) for key in KEYS}
            assert len(homes) == PARTITIONS, "gates in both partitions"
            runs: list[str] = []
            for time in range(times):
                with coordinator_process(fresh_url, tmp_path / f"other{time}") as other:
                    await until(lambda: len(here.owners) == 1 and not here.ready, "one partition here")
                    runs += [await one.send("orders", n, key, ms=3) for n in range(40 * time, 40 * time + 40) for key in KEYS]
                    third = len(runs) // 3
                    await until(lambda third=third: len(one.ledger.begun()) > third, "a third of the work")
                    other.kill()
                await until(lambda: len(here.owners) == PARTITIONS and not here.ready, "everything here", LONG_S)
            summaries = await one.log.ended(*runs, deadline_s=LONG_S)
            assert {summary.status for summary in summaries} == {"completed"}
            assert all(most <= 2 for most in one.ledger.most().values()), one.ledger.most()
            assert one.ledger.most_at_all() <= 5
            await until(lambda: not one.gates(), "no slot is held for ever")

    run(test(), 60)


def test_a_snapshot_holds_the_gates_and_who_waits_at_them(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with limited_fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            first = one.fleet.coordinators[0]
            await one.deploy(limited("orders", {"concurrency": {"max": 2}}))
            runs = [await one.send("orders", n, held=True) for n in range(20)]
            await until(lambda: one.waiting("=flow:orders:") == 18, "the others in line")
            await one.fleet.leave(first)  # in order: everything is in the snapshots, and the WAL is empty behind them
            await one.fleet.coordinator()
            await until(lambda: one.waiting("=flow:orders:") == 18 and one.held("=flow:orders:") == 2, "as before")
            one.release.touch()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert one.ledger.most() == {"": 2}
            await until(lambda: not one.gates(), "no slot is held for ever")

    run(test())

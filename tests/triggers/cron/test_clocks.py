"""Coordinators whose clocks are set while they run, by an hour and by a day: every second is one run all the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from jetfleet.schemas.payload import decode

from ...fleet.fleets import coordinator_process, fleet
from ...fleet.running import run
from . import stage
from .clocks import Clocks, put

HOUR, DAY = 3_600, 86_400
JUMPS = [(HOUR, 0), (-HOUR, HOUR), (0, -HOUR), (DAY, -DAY), (-HOUR, -HOUR)]


@pytest.mark.soak
def test_every_second_is_one_run_however_the_clocks_of_coordinators_are_set(fresh_url: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first clock", tmp_path / "second clock"
    clocks = Clocks(tmp_path)

    async def test(processes: ExitStack) -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            alive = []
            for clock in (first, second):
                with clocks.given(clock):
                    alive.append(processes.enter_context(coordinator_process(fresh_url, tmp_path / f"data {clock.stem}")))
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            await sweep.many(3)
            for ahead, other in JUMPS:
                put(first, ahead), put(second, other)
                await sweep.many(len(sweep.times()) + 3)
            alive[0].kill()
            put(second, HOUR)
            found = await sweep.many(len(sweep.times()) + 4)
            late = [decode(started.meta)["late_ms"] for started in sweep.runs()]
            print(f"cron: {len(found)} seconds, {len(JUMPS) + 1} times set, latest {max(late):,} ms", flush=True)
            assert stage.without_a_gap(found) and len(one.log.begun) == len(found)
            assert max(late) < HOUR * 1_000, "by the server's clock"

    with ExitStack() as processes:
        run(test(processes), 120)

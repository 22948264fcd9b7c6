"""The only coordinator is killed again and again while a schedule of every second runs: each second is exactly one run."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.records import RunStarted

from ...fleet.conftest import ServerFactory
from ...fleet.fleets import coordinator_process, fleet
from ...fleet.running import run
from ..cron import stage
from .stage import SEED, chosen_seed

SECONDS, KILLS_MIN = 20, 3
LIVES_S = 4.0
"""A coordinator lives for at most so long."""


@pytest.mark.soak
def test_every_second_is_one_run(server_factory: ServerFactory, tmp_path: Path) -> None:
    seed = chosen_seed()
    print(f"cron: {SEED}={seed}", flush=True)

    async def test(server: Any, chance: random.Random) -> None:
        kills = 0
        async with fleet(server.url, tmp_path, coordinators=0, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            while len(sweep.times()) < SECONDS:
                with ExitStack() as processes:
                    coordinator = processes.enter_context(coordinator_process(server.url, tmp_path / "coordinator"))
                    await sweep.many(len(sweep.times()) + 1)
                    await asyncio.sleep(chance.random() * LIVES_S)
                    coordinator.kill()
                    kills += 1
            await one.log.caught_up()
            gaps = [int((after - before).total_seconds()) - 1 for before, after in pairwise(sweep.times())]
            records = sum(len(one.log.of(id, RunStarted)) for id in one.log.begun)
            print(f"cron: {len(gaps) + 1} seconds, {kills} kills, {len(one.log.begun)} runs, {sum(gap for gap in gaps if gap > 0)} missing, "
                  f"{gaps.count(-1)} doubled, {records - len(one.log.begun)} repetitions absorbed; {SEED}={seed}")  # fmt: skip
            assert kills >= KILLS_MIN and stage.without_a_gap(sweep.times())
            assert len(one.log.begun) == len(sweep.times())

    run(test(server_factory(sync="always"), random.Random(seed)), 300)

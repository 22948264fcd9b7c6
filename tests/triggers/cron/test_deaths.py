"""Cron under fire: coordinators as processes are killed and frozen, the server is killed, and every second is one run all the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ...fleet.background import BackgroundServer
from ...fleet.fleets import coordinator_process, fleet
from ...fleet.running import run
from ...fleet.trouble import restarted
from . import stage

ROUNDS = 4


@pytest.mark.soak
def test_every_second_is_one_run_whoever_is_killed_or_frozen(server_factory: Any, tmp_path: Path) -> None:
    async def test(server: BackgroundServer, processes: ExitStack) -> None:
        def another() -> Any:
            nonlocal number
            number += 1
            return processes.enter_context(coordinator_process(server.url, tmp_path / f"c{number}"))

        number = 0
        alive = [another(), another()]
        async with fleet(server.url, tmp_path, coordinators=0, workers=0) as one:
            sweep = stage.Sweep(one)
            await sweep.deploy(stage.EVERY_SECOND, overlap="allow")
            await sweep.many(3)
            for _ in range(ROUNDS):
                alive[0].kill()
                alive = [alive[1], another()]
                await sweep.many(len(sweep.times()) + 4)
                alive[0].freeze()
                await sweep.many(len(sweep.times()) + 4)
                alive[0].thaw()
                await sweep.many(len(sweep.times()) + 2)
                await restarted(server)
                found = await sweep.many(len(sweep.times()) + 3)
                assert stage.without_a_gap(found)

    with ExitStack() as processes:
        run(test(server_factory(), processes), 300)

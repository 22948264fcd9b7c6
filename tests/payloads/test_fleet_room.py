"""Arenas that are too small: who waits, who fails, and that everybody else goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..fleet.fleets import fleet
from ..fleet.running import run
from .hosts import MIB, deploy, executions, host, is_right, produced_and_summed, segments, start

LENGTH = 3 * MIB


def test_more_runs_than_the_arena_has_room_for_wait_for_one_another(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        arena = tmp_path / "a" / "arena"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed())
            with host(fresh_url, tmp_path / "a", "a", "b", options={"arena-max": "16MiB", "arena-keep": 0}) as worker:
                runs = await asyncio.gather(*(start(one, length=LENGTH, seed=n, key=str(n)) for n in range(24)))
                summaries = await one.log.ended(*runs, deadline_s=80)
                assert all(is_right(summary, LENGTH, seed=n) for n, summary in enumerate(summaries))
                assert worker.process.poll() is None
            assert executions(one, "summed") == 24
            assert sum(path.stat().st_size for path in segments(arena)) <= 16 * MIB

    run(test(), 110)

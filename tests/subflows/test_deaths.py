"""Owners that die between any two steps of a family: each child runs once, and every parent hears of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import ChildEnded, Completion, RunStarted

from ..fleet.fleets import LONG_S, chain, coordinator_process, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until
from .families import EACH, MIDDLE, TOP, call, children

PARTITIONS, TOPS, SPLITS, ITEMS = 4, 60, 15, 4


def test_kill_9_of_an_owner_between_the_steps_of_families(fresh_url: str, tmp_path: Path) -> None:
    """Three kills: while children begin, while they work, while parents are told. Half of one kind is cancelled meanwhile."""

    async def test() -> None:
        log = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            slow = flow("slow", {"call": call("leaf", detached=True), "wait": {"type": "std::wait", "config": {"signal": "never"}}})
            held = flow("held", {"call": call("slow")})
            await one.deploy(chain("leaf", "f.step", "f.step"), MIDDLE, TOP, EACH, slow, held)
            value = {"log": str(log)}
            runs: list[str] = []
            cancelled: list[str] = []
            for wave in range(3):
                with coordinator_process(fresh_url, tmp_path / f"other{wave}") as other:
                    await until(lambda: len(one.coordinators[0].owners) == 2 and not one.coordinators[0].ready, "half of the partitions")
                    before = one.log.completions()
                    runs += await asyncio.gather(*(one.client.send("top", value, id=f"{wave}.{n}") for n in range(TOPS)))
                    items = {"items": [value] * ITEMS}
                    runs += await asyncio.gather(*(one.client.send("each", items, id=f"{wave}.{n}") for n in range(SPLITS)))
                    stopped = await asyncio.gather(*(one.client.send("held", value, id=f"{wave}.{n}") for n in range(10)))
                    cancelled += stopped
                    await one.log.until(lambda ids=stopped: {f"{id}.call" for id in ids} <= one.log.begun, "children")
                    goal = before + (0, 2 * TOPS, 3 * TOPS)[wave]
                    await one.log.until(lambda goal=goal: one.log.completions() >= goal, "the moment to die")
                    stopping = asyncio.gather(*(one.client.cancel(id) for id in stopped))
                    other.kill()
                    await stopping
                await until(lambda: len(one.coordinators[0].owners) == PARTITIONS and not one.coordinators[0].ready, "all partitions")
            ends = await one.log.ended(*runs, deadline_s=LONG_S)
            assert {summary.status for summary in ends} == {"completed"}
            family = [id for parent in cancelled for id in (parent, f"{parent}.call")]
            assert {summary.status for summary in await one.log.ended(*family, deadline_s=LONG_S)} == {"cancelled"}
            detached = [f"{id}.call.call" for id in cancelled]
            assert {summary.status for summary in await one.log.ended(*detached, deadline_s=LONG_S)} == {"completed"}
            for id in runs:
                expected = [f"{id}.call"] if id.startswith("top") else [f"{id}.call[{n}]" for n in range(ITEMS)]
                assert children(one, id) == expected
                ended = Counter(record.child for record in one.log.journal(id) if isinstance(record, ChildEnded))
                assert set(ended) == set(expected)
            for id in one.log.begun:
                starts = {(start.digest, start.payload, start.parent) for start in one.log.of(id, RunStarted)}
                assert len(starts) == 1
                done = {record.activation for record in one.log.journal(id) if isinstance(record, Completion)}
                assert not id.endswith(".call.call") or len(done) == 2
            assert one.log.reexecuted(log) == []
            assert decode(ends[0].output) == value

    run(test(), 100)

"""Decisions on large values: a fleet's workers make them, those of the flow's own queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jetfleet.broker.cli.checks import queues
from jetfleet.broker.cli.checkup import examine
from jetfleet.schemas.payload import decode

from ..fleet.fleets import fleet, flow
from ..fleet.running import run
from .hosts import MIB, deploy, host, is_right, start


def test_a_switch_and_a_merge_on_large_values_need_no_workers_but_those_of_their_flow(fresh_url: str, tmp_path: Path) -> None:
    def on_a(type: str) -> dict[str, Any]:
        return {"type": type, "queue": "a"}

    async def test() -> None:
        switched = {
            "make": on_a("bulk.make"),
            "large": {"type": "std::switch", "config": {"condition": "data[3] > 3"}},
            "sum": on_a("bulk.sum"),
        }
        merged = {"make": on_a("bulk.make"), "again": on_a("bulk.make"), "both": {"type": "std::merge", "config": {"output": "deep_merge"}}}
        apart = {"whole": {"type": "std::switch", "queue": "none", "config": {"condition": "data[3] > 3"}}}
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(
                one,
                flow("switched", switched, ["make -> large", "large.true -> sum"]),
                flow("merged", merged, ["make -> both", "again -> both"]) | {"edges": [
                    {"from": "go", "to": "make"}, {"from": "go", "to": "again"}, {"from": "make", "to": "both"}, {"from": "again", "to": "both"},
                ]},
            )  # fmt: skip
            with host(fresh_url, tmp_path / "a", "a"):
                first, second = await start(one, "switched", length=MIB, seed=9), await start(one, "merged", length=MIB, seed=1)
                summary, other = await one.log.ended(first, second, deadline_s=30)
                assert is_right(summary, MIB, seed=9)
                assert other.status == "completed" and set(decode(other.output)) == {"data", "event"}
                found = await examine(one.client, tmp_path)
                assert [finding.grade for finding in queues(found)] == ["ok"]
                await deploy(one, flow("apart", apart))
                found = await examine(one.client, tmp_path)
                assert any("no worker takes from queue none (flows apart)" in finding.says for finding in queues(found))

    run(test(), 80)

"""Large values in fleets of processes that are killed: what was recorded is not made twice, and arrives as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.schemas.payload import decode

from ..fleet.fleets import fleet
from ..fleet.running import run
from .hosts import MIB, completions, deploy, executions, host, is_right, made, produced_and_summed, start


@pytest.mark.parametrize("kind", ["float64", "bytes"])
@pytest.mark.parametrize("length", [pytest.param(16 * MIB, id="16 MiB"), pytest.param(256 * MIB, id="256 MiB", marks=pytest.mark.soak)])
def test_a_value_outlives_its_producer_s_process(fresh_url: str, tmp_path: Path, length: int, kind: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(make="bulk.make_once"))
            with host(fresh_url, tmp_path / "a", "a") as producer:
                id = await start(one, length=length, kind=kind)
                ref = await made(one, id)
                producer.kill()
            with host(fresh_url, tmp_path / "b", "b", arena=tmp_path / "a" / "arena") as consumer:
                (summary,) = await one.log.ended(id, deadline_s=60)
                assert is_right(summary, length, kind)
                assert decode(summary.output)["pid"] == consumer.pid
            assert (ref.length, executions(one, "made"), executions(one, "summed")) == (length, 1, 1)
            assert [len(completions(one, id, place)) for place in (0, 1)] == [1, 1]

    run(test(), 90)

"""Moving new runs from one version to another: by shares, for good, and back. A run stays with the version that it began with."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import FlowView
from jetfleet.broker.versions import NothingToMove, chooses_next
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import EventRejected, UsageError
from jetfleet.schemas.records import RunStarted

from ..fleet.fleets import Fleet, chain, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until

RUNS = 1_000


def versioned(version: str, *types: str, **blocks: Any) -> dict[str, Any]:
    return chain("orders", *(types or ("f.echo", "f.echo")), version=version, settings={"max_concurrent_executions": RUNS}, **blocks)


def shares(view: FlowView) -> dict[str, float]:
    return {each.version: each.share for each in view.versions if each.share}


async def known(one: Fleet) -> None:
    """Every coordinator begins new runs as this client does."""
    wanted = one.client.flows.version("orders")
    await until(lambda: all(each.flows.version("orders") == wanted for each in one.coordinators), "coordinators to know")


def test_the_share_of_a_version_is_met_and_who_is_in_a_small_share_is_in_a_larger_one() -> None:
    ids = [subjects.run_id("orders", f"k{n}") for n in range(20_000)]
    for share in (0.5, 10, 33.3, 90):
        chosen = {id for id in ids if chooses_next(id, share)}
        assert abs(len(chosen) / len(ids) * 100 - share) < 1
        assert chosen <= {id for id in ids if chooses_next(id, share + 5)}
        partitions = Counter(subjects.partition_of(id, 4) for id in chosen)
        assert max(partitions.values()) < len(chosen) / 4 * 1.4, "in all partitions alike"
    assert not any(chooses_next(id, 0) for id in ids) and all(chooses_next(id, 100) for id in ids)


def test_a_thousand_runs_are_shared_out_and_each_ends_with_the_version_that_it_began_with(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(versioned("1.0"))
            first = await one.client.deploy(versioned("2.0"), share=20)
            assert (first.changed, first.share) == (True, 20)
            assert shares(await one.client.flow("orders")) == {"1.0": 80, "2.0": 20}
            await known(one)
            keys = [f"k{n}" for n in range(RUNS)]
            runs = await asyncio.gather(*(one.client.send("orders", {"n": 1}, id=key) for key in keys[: RUNS // 2]))
            moved = await one.client.move_flow("orders", 60)
            assert shares(moved) == {"1.0": 40, "2.0": 60}
            await known(one)
            late = await asyncio.gather(*(one.client.send("orders", {"n": 1}, id=key) for key in keys[RUNS // 2 :]))
            summaries = {part.version for part in await one.log.ended(*runs, *late, deadline_s=40)}
            assert summaries == {"1.0", "2.0"}
            begun = {id: one.log.of(id, RunStarted)[0].digest for id in [*runs, *late]}
            assert all((summary := one.log.summary(id)) is not None and summary.digest == begun[id] for id in begun)
            assert all({record.digest for record in one.log.of(id, RunStarted)} == {begun[id]} for id in begun)
            assert 0.13 < sum(begun[id] == first.digest for id in runs) / len(runs) < 0.60, "part of them began after the move"
            assert 0.53 < sum(begun[id] == first.digest for id in late) / len(late) < 0.67
            assert all(begun[id] == first.digest for id in [*runs, *late] if chooses_next(id, 20)), "a larger share takes nobody back"
            assert shares(await one.client.move_flow("orders", 100)) == {"2.0": 100}
            with pytest.raises(NothingToMove, match="--share"):
                await one.client.move_flow("orders", 50)

    run(test(), 90)


def test_a_rollback_takes_new_runs_back_and_open_ones_stay(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            digests = {}
            for version in ("1.0", "2.0", "3.0"):
                digests[version] = (await one.client.deploy(versioned(version, "f.gated"))).digest
                await known(one)
                id = await one.client.send("orders", {"gate": str(gate)}, id=version)
                await one.log.until(lambda id=id: id in one.log.begun, "the run of a version")  # type: ignore[misc]
            assert shares(await one.client.roll_back_flow("orders")) == {"2.0": 100}
            assert shares(await one.client.roll_back_flow("orders")) == {"1.0": 100}, "further back"
            with pytest.raises(NothingToMove, match="no earlier version"):
                await one.client.roll_back_flow("orders")
            assert shares(await one.client.roll_back_flow("orders", digests["3.0"][:10])) == {"3.0": 100}
            await one.client.deploy(versioned("4.0"), share=50)
            assert shares(await one.client.roll_back_flow("orders")) == {"3.0": 100}, "nothing is moved any more"
            await known(one)
            gate.touch()
            late = await one.client.send("orders", {"gate": str(gate)}, id="late")
            runs = [subjects.run_id("orders", version) for version in digests]
            assert [summary.version for summary in await one.log.ended(*runs, late)] == ["1.0", "2.0", "3.0", "3.0"]

    run(test(), 60)


def test_of_two_changes_at_once_none_is_lost(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await one.deploy(versioned("1.0"))
            await one.client.deploy(versioned("2.0"), share=10)
            wishes = [one.client.move_flow("orders", share) for share in range(11, 31)]
            decisions = [one.client.pause_flow("orders"), one.client.drain_flow("orders"), one.client.resume_flow("orders")]
            await asyncio.gather(*wishes, *decisions)
            view = await one.client.flow("orders")
            assert shares(view)["2.0"] in range(11, 31) and sum(shares(view).values()) == 100
            await one.deploy(versioned("3.0"))
            assert shares(await one.client.flow("orders")) == {"3.0": 100}, "a deployment without a share ends the move"
            for share in (0.0, -1.0, 101.0, float("nan")):
                with pytest.raises(UsageError, match="share"):
                    await one.client.deploy(versioned("4.0"), share=share)

    run(test())


def test_an_event_is_checked_by_the_version_that_its_run_begins_with(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(versioned("1.0"))
            strict = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
            added = [{"id": "go", "type": "manual"}, {"id": "desk", "type": "manual"}]
            edges = [{"from": "go", "to": "n0"}, {"from": "desk", "to": "n0"}, {"from": "n0", "to": "n1"}]
            await one.client.deploy(versioned("2.0", inputs=strict) | {"triggers": added, "edges": edges}, share=50)
            await known(one)
            keys = [f"k{n}" for n in range(40)]
            refused = []
            for key in keys:
                try:
                    await one.client.send("orders", {"n": "no number"}, id=key, trigger="go")
                except EventRejected:
                    refused.append(key)
            assert refused == [key for key in keys if chooses_next(subjects.run_id("orders", key), 50)]
            desk = [await one.client.send("orders", {"n": 1}, id=f"desk{n}", trigger="desk") for n in range(10)]
            assert {summary.version for summary in await one.log.ended(*desk)} == {"2.0"}, "the only one that has this trigger"
            assert not one.log.letters

    run(test(), 60)


def test_sub_flows_begin_with_the_versions_as_other_runs_do(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        nodes = {
            "each": {"type": "std::split", "config": {"field": "items"}},
            "child": {"type": "std::subflow", "config": {"flow": "orders"}},
        }
        parent = flow("parent", nodes, ["each.item -> child"])
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(versioned("1.0"), parent)
            await one.client.deploy(versioned("2.0"), share=30)
            await known(one)
            whole = await one.client.send("parent", {"items": list(range(60))})
            await one.log.ended(whole)
            children = [id for id in one.log.begun if id.startswith(whole) and id != whole]
            assert len(children) == 60
            begun = {summary.version: id for id in children for summary in await one.log.ended(id)}
            assert set(begun) == {"1.0", "2.0"}
            for id in children:
                (summary,) = await one.log.ended(id)
                assert summary.version == ("2.0" if chooses_next(id, 30) else "1.0")

    run(test(), 60)

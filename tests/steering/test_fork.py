"""Forks on a real fleet: a run of its own that begins in the middle of another, which is not touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api.adopting import reopen as tell_owner
from jetfleet.broker.api.adopting import write_history
from jetfleet.broker.api.reopening_errors import NeverRan, NoSuchValue, VersionUnfit
from jetfleet.schemas.errors import EventRejected, UsageError
from jetfleet.schemas.records import RunReopened, RunStarted

from ..fleet.fleets import chain, flow
from ..fleet.running import run
from ..fleet.trouble import until
from .reopening_fleet import deploy, failed, listed, reopening_fleet
from .reopening_nodes import executed

INPUTS = {"type": "object", "properties": {"n": {"type": "integer"}}}
CHAIN = chain("orders", "r.plain", "r.plain", "r.plain") | {"inputs": INPUTS}
SPLIT = flow(
    "parts",
    {"list": {"type": "r.items"}, "each": {"type": "std::split", "config": {"field": "$", "mode": "parallel"}}, "work": {"type": "r.item"}},
    ["list -> each", "each.item -> work"],
)


def event(folder: Path, **more: Any) -> dict[str, Any]:
    return {"log": str(folder / "executed")} | more


def test_a_fork_goes_on_from_its_node_with_what_was_set(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log = tmp_path / "executed"
        async with reopening_fleet(fresh_url, tmp_path) as one:
            await deploy(one, CHAIN, SPLIT)
            client = one.client
            first = await client.run("orders", event(tmp_path, n=0), timeout_s=10)
            assert first.output["n"] == 3
            log.unlink()

            # from the second node, whose input is what the first one has put out, changed
            fork = await client.fork(first.run_id, "n1", set={"n0.n": 10}, id="ten", reason="what if")
            assert fork.reopened is not None and fork.reopened.kept == ("n0",)
            assert (await fork.result(10)).output["n"] == 12
            assert executed(log) == ["n1", "n2"]

            # the same key is the same fork; another one, from the beginning, has another event
            assert (await client.fork(first.run_id, "n1", id="ten")).id == fork.id
            again = await client.fork(first.run_id, "n0", set={"trigger.n": 100})
            assert (await again.result(10)).output["n"] == 103
            assert executed(log) == ["n1", "n2", "n0", "n1", "n2"]

            # a fork of a fork, and of a sub-run of a run that is open
            deeper = await client.fork(fork.id, "n2", set={"n1.n": 50})
            assert (await deeper.result(10)).output["n"] == 51

            # what it came of is on its row, and in nobody else's
            rows = await listed(client, f"source = {first.run_id} and status = completed", 2)
            assert {row.id for row in rows} == {fork.id, again.id}
            assert (await listed(client, f"id = {first.run_id}"))[0].source is None
            assert len(await client.history(first.run_id)) == 4
            journal = await client.history(fork.id)
            assert isinstance(journal[0], RunStarted) and {record.run for record in journal} == {fork.id}
            assert [record.source for record in journal if isinstance(record, RunReopened)] == [first.run_id]

            # from one item of a split: the others stay
            parts = await client.run("parts", event(tmp_path), timeout_s=10)
            log.unlink()
            item = await client.fork(parts.run_id, "work[1]", set={"work[2]": 7})
            assert (await item.result(10)).output == [0, 10, 7]
            assert executed(log) == ["work1"]
            with pytest.raises(NoSuchValue, match="say which time, as work"):
                await client.fork(parts.run_id, "work[1]", set={"work": 7})

    run(test(), 60)


def test_what_cannot_be_forked_is_refused_and_changes_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log, broken = tmp_path / "executed", tmp_path / "broken"
        async with reopening_fleet(fresh_url, tmp_path) as one:
            await deploy(one, chain("orders", "r.plain", "r.step", "r.plain") | {"inputs": INPUTS})
            client = one.client
            broken.touch()
            id = await failed(client, "orders", event(tmp_path, n=0, broken=str(broken)))
            with pytest.raises(NeverRan, match="these did: n0, n1"):
                await client.fork(id, "n2")
            with pytest.raises(NoSuchValue, match=r"nothing is there; there are: n0\.log"):
                await client.fork(id, "n1", set={"n0.m": 1})
            with pytest.raises(NoSuchValue, match="there is no node 'x'"):
                await client.fork(id, "n1", set={"x.m": 1})
            with pytest.raises(NoSuchValue, match="is not kept"):
                await client.fork(id, "n1", set={"n1.n": 1})
            with pytest.raises(EventRejected):
                await client.fork(id, "n1", set={"trigger.n": "many"})
            with pytest.raises(UsageError, match="newest"):
                await client.fork(id, "n1", version="newest")

            # another version of the flow takes over where its nodes are the same
            await deploy(one, chain("orders", "r.plain", "r.plain", "r.plain", "r.plain"))
            fork = await client.fork(id, "n1", version="current")
            result = await fork.result(10)
            assert result.status == "completed" and result.output["n"] == 4
            assert executed(log) == ["n0", "n1", "n1", "n2", "n3"]
            renamed = flow("orders", {"first": {"type": "r.plain"}, "n1": {"type": "r.plain"}})
            await deploy(one, renamed)
            with pytest.raises(VersionUnfit, match="no node 'n0'"):
                await client.fork(id, "n1", version="current")
            await one.quiet()
            assert sum(isinstance(record, RunReopened) for records in one.log.records.values() for record in records) == 1

    run(test(), 60)


def test_a_journal_that_is_not_there_opens_no_run_and_holds_up_no_other(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with reopening_fleet(fresh_url, tmp_path, partitions=1) as one:
            await deploy(one, CHAIN)
            client = one.client
            first = await client.run("orders", event(tmp_path, n=0), timeout_s=10)
            journal = await client.history(first.run_id)
            places = await write_history(client.connection, "orders", first.run_id, journal[:2])
            for run_id, after, where in (("orders~a", 2, ()), ("orders~b", 9, places), ("orders~c", 2, places)):
                await tell_owner(client.connection, client.partitions, run_id, after, (), where, first.run_id)
            assert (await client.run("orders", event(tmp_path, n=5), timeout_s=10)).output["n"] == 8
            await until(lambda: len(one.log.letters) == 3, "a dead letter for each")
            assert "of the 2 records" in one.log.letters[0].reason and one.open_run("orders~a") is None

    run(test(), 30)


def test_a_long_journal_is_forked_in_parts(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with reopening_fleet(fresh_url, tmp_path) as one:
            nodes = {"n0": {"type": "r.plain"}} | {f"n{n}": {"type": "r.plain"} for n in range(1, 30)}
            await deploy(one, flow("long", nodes, payloads={"inline_max": "256KiB"}))
            first = await one.client.run("long", event(tmp_path, n=0, text="x" * 60_000), timeout_s=20)
            fork = await one.client.fork(first.run_id, "n29")
            assert (await fork.result(10)).output["n"] == 30
            (reopened,) = one.log.of(fork.id, RunReopened)
            assert len(reopened.places) > 2 and reopened.after == 31

    run(test(), 60)

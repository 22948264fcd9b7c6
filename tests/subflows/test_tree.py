"""The family of a run as a client sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.api import UnknownRun
from jetfleet.broker.api.family import Family, Member

from ..fleet.fleets import flow
from ..fleet.running import run
from .families import EACH, LEAF, MIDDLE, TOP, begun, call, family_fleet


def drawn(member: Member) -> dict[str, object]:
    """A tree as nested maps: by node, the status, and what is below."""
    return {"status": member.status, **{f"{child.node}.{child.attempt}": drawn(child) for child in member.children}}


def ids(family: Family) -> list[str]:
    return [member.run for member in family.everybody()]


def test_a_run_is_shown_with_all_that_it_started_open_or_ended(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with family_fleet(fresh_url, tmp_path, coordinators=2) as (one, reader):
            beside = flow("beside", {"call": call("middle", detached=True), "again": call("leaf")})
            await one.deploy(LEAF, MIDDLE, TOP, EACH, beside)
            top = await one.client.send("top", {"gate": str(gate)})
            each = await one.client.send("each", {"items": [{"gate": str(gate), "n": n} for n in range(60)]})
            await begun(one, f"{top}.call.call", *(f"{each}.call[{n}]" for n in range(50)))
            await reader.caught_up()

            family = await one.client.tree(top)
            assert family.complete and drawn(family.top) == {
                "status": "running",
                "call.1": {"status": "running", "call.1": {"status": "running"}},
            }
            assert [member.row.flow for member in family.everybody()] == ["top", "middle", "leaf"]
            assert all(member.view is not None and member.is_open for member in family.everybody())
            assert ids(await one.client.tree(f"{top}.call")) == [f"{top}.call", f"{top}.call.call"]

            split = await one.client.tree(each)
            assert split.complete and sorted(ids(split)) == sorted([each, *(f"{each}.call[{n}]" for n in range(50))])
            assert split.top.children[0].node.startswith("call[")
            few = await one.client.tree(each, most=7)
            assert not few.complete and len(ids(few)) == 7

            gate.touch()
            await one.log.ended(top, each)
            await reader.caught_up()
            assert drawn((await one.client.tree(top)).top) == {
                "status": "completed", "call.1": {"status": "completed", "call.1": {"status": "completed"}},
            }  # fmt: skip
            assert len(ids(await one.client.tree(each))) == 61
            detached = await one.client.send("beside", {"gate": str(gate)})
            await one.log.ended(detached, f"{detached}.call", f"{detached}.call.call", f"{detached}.again")
            await reader.caught_up()
            assert set(ids(await one.client.tree(detached))) == {
                detached, f"{detached}.call", f"{detached}.call.call", f"{detached}.again",
            }  # fmt: skip
            with pytest.raises(UnknownRun):
                await one.client.tree("nobody")

    run(test(), 60)


def test_children_that_the_reader_does_not_know_yet_are_told_by_their_owners(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with family_fleet(fresh_url, tmp_path) as (one, reader):
            await one.deploy(LEAF, MIDDLE, TOP)
            for tail in reader.follower._tails.values():
                tail.pause()
            top = await one.client.send("top", {"gate": str(tmp_path / "never")})
            await begun(one, f"{top}.call.call")
            await one.quiet()
            assert ids(await one.client.tree(top)) == [top, f"{top}.call", f"{top}.call.call"]
            for tail in reader.follower._tails.values():
                tail.resume()
            await one.client.kill(top)
            await one.log.ended(top, f"{top}.call.call")

    run(test())

"""Coordinators serve cron and queue triggers beside their work: whatever these do, the work goes on, and nothing of them is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetfleet.broker.triggers import catalogue
from jetfleet.broker.triggers.service import Triggers

from ...fleet.fleets import NODES, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .sources import ByHand, Workshop

FLOW = """
name: orders
triggers:
  - {id: inbox, type: queue, params: {name: shop}}
  - {id: desk, type: manual}
nodes: {seen: {type: f.echo}}
edges: [{from: inbox, to: seen}, {from: desk, to: seen}]
"""


def test_a_coordinator_serves_queues_says_so_and_leaves_nothing_behind(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop()
    monkeypatch.setattr(catalogue, "make", lambda spec, site: workshop.make(spec))

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            (coordinator,) = one.coordinators
            assert coordinator.triggers.served() == [], "there is nothing to serve, and nobody is asked to"
            await one.client.deploy(FLOW, nodes=[NODES])
            await until(lambda: bool(workshop.made), "a source")
            workshop.last.fire("k", 7)
            await until(lambda: "k" in workshop.last.confirmed, "the event")
            await one.log.ended(workshop.last.confirmed["k"].runs["orders"])
            while not (found := [each for each in await one.client.triggers() if each.fired]):
                coordinator.membership.tell()
            (view,) = found
            assert (view.id, list(view.served), view.fired) == ("inbox", [coordinator.membership.id], 1)
            heard = (coordinator.connection.on_reconnect, coordinator.flows.on_change)
            before = [len(listeners) for listeners in heard]
            await coordinator.triggers.stop()
            assert workshop.last.told[-1] == "close"
            assert [len(listeners) for listeners in heard] == [count - 1 for count in before]

    run(test(), 40)


def test_a_coordinator_whose_triggers_fail_or_hang_does_its_work_all_the_same(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(ByHand):
        async def close(self) -> None:
            raise KeyError("close")

        def status(self) -> str:
            raise KeyError("status")

    def broken(self: Triggers) -> None:
        raise KeyError("fit")

    workshop = Workshop(Stuck)
    monkeypatch.setattr(catalogue, "make", lambda spec, site: workshop.make(spec))

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(FLOW, nodes=[NODES])
            await until(lambda: bool(workshop.made), "a source")
            assert one.coordinators[0].triggers.served()[0].detail == ""
            monkeypatch.setattr(Triggers, "_fit", broken)
            second = await one.coordinator()
            await one.shared()
            assert (await (await one.client.fire("orders", "desk", 1)).result(20)).completed
            await one.leave(second)

    run(test(), 40)

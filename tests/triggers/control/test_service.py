"""The triggers of a process keep step with what is deployed and decided: who is wanted has a source, who is not has none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import Client
from jetfleet.broker.fleet.roll_call import roll_call
from jetfleet.broker.triggers import catalogue, pauses
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import UsageError
from jetfleet.triggers import SourceFailed, Triggers

from ...fleet.running import run
from ...fleet.trouble import until
from .sources import ByHand, Workshop


def flow(name: str, **topics: str) -> dict[str, Any]:
    """A flow with a kafka trigger per topic."""
    triggers = [{"id": id, "type": "kafka", "params": {"brokers": "b:1", "group_id": "g", "topic": topic}} for id, topic in topics.items()]
    nodes = {"node": {"type": "std::log", "config": {"message": "hi"}}}
    return {"name": name, "triggers": triggers, "nodes": nodes, "edges": [{"from": id, "to": "node"} for id in topics]}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Where the sources of all triggers come from."""
    found = Workshop()
    monkeypatch.setattr(catalogue, "make", lambda spec, site: found.make(spec))
    monkeypatch.setattr(pauses, "FIRST_S", 0.01)
    return found


@asynccontextmanager
async def serving(url: str, folder: Path, *flows: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Client, Triggers]]:
    async with await Client.connect(url) as client:
        for each in flows:
            await client.deploy(each)
        async with Triggers(client, types=("kafka",), data=folder, **options) as triggers:
            yield client, triggers


def serve(url: str, folder: Path, test: Callable[[Client, Triggers], Awaitable[None]], *flows: dict[str, Any], **options: Any) -> None:
    async def whole() -> None:
        async with serving(url, folder, *flows, **options) as (client, triggers):
            await test(client, triggers)

    run(whole())


def states(triggers: Triggers) -> dict[str, str]:
    return {f"{each.flow}.{each.trigger}": each.state for each in triggers.status()}


def test_triggers_with_the_same_params_share_a_source_and_each_gets_its_event(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        source = await triggers.source("one", "in")
        assert source is await triggers.source("two", "in")
        assert isinstance(source, ByHand)
        source.fire("k", 7)
        await until(lambda: "k" in source.confirmed, "the confirmation")
        assert set(source.confirmed["k"].runs) == {"one", "two"}
        await client.pause_trigger("one", "in")
        assert await settled(triggers, {"one.in": "listening", "two.in": "listening"}), "the other one listens still"
        await client.pause_trigger("two", "in")
        assert await settled(triggers, {"one.in": "paused", "two.in": "paused"})
        await client.disable_trigger("one", "in")
        await client.resume_trigger("two", "in")
        assert await settled(triggers, {"two.in": "listening"})
        source.fire("l", 8)
        await until(lambda: "l" in source.confirmed, "the confirmation")
        assert set(source.confirmed["l"].runs) == {"two"}
        assert len(workshop.made) == 1

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "orders"}), flow("two", **{"in": "orders"}))


async def settled(triggers: Triggers, wanted: dict[str, str]) -> bool:
    await until(lambda: states(triggers) == wanted, f"{wanted}")
    return True


def test_other_params_are_another_source_which_begins_when_the_old_one_is_closed(
    fresh_url: str, tmp_path: Path, workshop: Workshop
) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        await triggers.source("one", "in")
        old = workshop.last
        old.gate = asyncio.Event()
        await client.deploy(flow("one", **{"in": "returns", "other": "more"}))
        await until(lambda: "pause" in old.told, "the end of the old one")
        assert len(workshop.made) == 1
        assert "close" not in old.told
        old.gate.set()
        await triggers.source("one", "in")
        assert old.told == ["open", "pause", "close"]
        assert [each.spec.params.topics for each in workshop.of("one.in") if each.spec] == [["orders"], ["returns"]]
        await client.undeploy("one")
        assert await settled(triggers, {})
        await until(lambda: all(each.told[-1] == "close" for each in workshop.made), "all closed")

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "orders"}))


def test_a_source_that_does_not_end_keeps_nobody_from_being_paused(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        await triggers.source("one", "in")
        await triggers.source("two", "in")
        (stuck,), (other,) = workshop.of("one.in"), workshop.of("two.in")
        stuck.gate = asyncio.Event()
        await client.pause_trigger("two", "in")
        await client.undeploy("one")
        await until(lambda: "pause" in other.told, "the pause")
        stuck.gate.set()

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "orders"}), flow("two", **{"in": "returns"}))


def test_a_trigger_whose_events_find_no_room_says_so_until_there_is_some(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        source = await triggers.source("one", "in")
        assert isinstance(source, ByHand)
        streams = client.connection.streams
        info = await streams.stream_info(subjects.EVENTS)
        assert info is not None
        source.fire("stored", 7)
        await until(lambda: "stored" in source.confirmed, "an event")
        await streams.create_or_update_stream(info["config"] | {"max_msgs": 1})
        source.fire("waits", 7)
        await until(lambda: "events wait, as they cannot be stored" in triggers.status()[0].detail, "a trigger that says so")
        assert "waits" not in source.confirmed
        await streams.create_or_update_stream(info["config"])
        await until(lambda: "waits" in source.confirmed and not triggers.status()[0].detail, "room")

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "orders"}))


def test_decisions_are_there_before_the_first_source_and_after_a_restart(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(flow("one", a="x", b="y", c="z"))
            await client.disable_trigger("one", "a", "no more")
            await client.pause_trigger("one", "b")
            await client.deploy(flow("one", a="x", b="y2", c="z"))
        async with serving(fresh_url, tmp_path) as (client, triggers):
            await triggers.source("one", "c")
            assert states(triggers) == {"one.b": "paused", "one.c": "listening"}
            await until(lambda: len(workshop.made) == 2, "two sources")
            assert workshop.of("one.b")[0].told[0] == "pause"
            with pytest.raises(UsageError, match="not served here"):
                await triggers.source("one", "a")
            await client.enable_trigger("one", "a")
            await triggers.source("one", "a")

    run(test())


def test_a_process_that_keeps_to_a_flow_serves_no_other(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        await triggers.source("two", "in")
        assert set(states(triggers)) == {"two.in"}
        assert triggers.facts()["trigger_flows"] == ["two"]

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "x"}), flow("two", **{"in": "x"}), only=("two",))


def test_an_end_while_sources_are_exchanged_closes_them_all(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        await triggers.source("one", "in")
        workshop.last.gate = asyncio.Event()
        await client.undeploy("one")
        await until(lambda: "pause" in workshop.last.told, "its end")
        ending = asyncio.create_task(triggers.stop())
        await asyncio.sleep(0)
        workshop.last.gate.set()
        await ending
        assert workshop.last.told[-1] == "close"
        with pytest.raises(UsageError):
            await triggers.source("one", "in")

    serve(fresh_url, tmp_path, test, flow("one", **{"in": "x"}))


def test_what_cannot_be_served_here_keeps_nobody_from_the_rest(
    fresh_url: str, tmp_path: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client, triggers: Triggers) -> None:
        workshop.refuse = ImportError("no library")
        await client.deploy(flow("one", **{"in": "x"}))
        with pytest.raises(SourceFailed, match="no library"):
            await triggers.source("one", "in")
        monkeypatch.setattr(pauses, "MAX_S", 1_000.0)
        monkeypatch.setattr(pauses, "FIRST_S", 1_000.0)
        workshop.refuse = None
        await client.deploy(flow("two", **{"in": "y"}))
        await triggers.source("two", "in")
        assert states(triggers)["two.in"] == "listening"

    serve(fresh_url, tmp_path, test)


def test_a_program_of_ones_own_is_seen_to_serve_its_triggers_until_it_ends(fresh_url: str, tmp_path: Path, workshop: Workshop) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as looking:
            await looking.deploy(flow("one", **{"in": "x"}))
            async with serving(fresh_url, tmp_path) as (_, triggers):
                (present,) = await roll_call(looking.connection)
                assert (present.member.id, present.member.role) == (triggers.member, "trigger")
                while "listening" not in {each.state for view in await looking.triggers() for each in view.served.values()}:
                    await triggers.source("one", "in")
                (view,) = await looking.triggers()
                assert list(view.served) == [triggers.member]
            assert await roll_call(looking.connection) == [], "it has said goodbye"
            async with serving(fresh_url, tmp_path, member=False) as (_, triggers):
                assert (triggers.member, await roll_call(looking.connection)) == ("", [])

    run(test())

"""Events that become one run together, on a fleet."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from jetfleet.broker.api import CollectionForgotten, NotEnded
from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import CollectionStarted, EventCollected, RunStarted, TimerFired

from ..fleet.fleets import NODES, Fleet, chain, fleet
from ..fleet.running import run

KEY = "${trigger.payload.key}"


def collected(one: Fleet, flow: str, key: str = "") -> list[EventCollected]:
    """What was taken in under the key, without what came once more."""
    records = one.log.of(subjects.collector(flow, key), EventCollected)
    return list({record.start.run: record for record in reversed(records)}.values())[::-1]


def starts(one: Fleet, flow: str) -> list[RunStarted]:
    """The starts of the flow's runs that are in the log, each run once, the earliest first."""
    found = {start.run: start for run in one.log.begun for start in one.log.of(run, RunStarted)[:1] if start.flow == flow}
    return sorted(found.values(), key=lambda start: start.at)


def events_of(one: Fleet, flow: str, start: RunStarted) -> int:
    count: int = decode(start.meta)["collected"]["count"]
    return count


async def ended(one: Fleet, flow: str, runs: int) -> list[RunStarted]:
    """Wait for so many runs of the flow, and their ends."""
    await one.log.until(lambda: len(starts(one, flow)) >= runs, f"{runs} runs of {flow}")
    summaries = await one.log.ended(*(start.run for start in starts(one, flow)))
    assert {summary.status for summary in summaries} == {"completed"}
    return starts(one, flow)


def test_events_become_one_run_as_the_settings_say(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=4, coordinators=2) as one:
            await one.shared()
            await one.deploy(
                chain("quiet", "f.echo", settings={"debounce": {"quiet": "2s"}}),
                chain("restless", "f.echo", settings={"debounce": {"quiet": "1h", "max_wait": "1h", "key": KEY}}),
                chain("bounded", "f.echo", settings={"debounce": {"quiet": "1s", "max_wait": "1s"}}),
                chain("full", "f.echo", settings={"batch": {"max": 10, "within": "1h", "key": KEY}}),
                chain("soon", "f.echo", settings={"batch": {"max": 1_000, "within": "2s"}}),
            )
            await asyncio.gather(
                *one.ids("quiet", 100), *one.ids("soon", 30), *one.ids("bounded", 5), *one.ids("restless", 5, {"key": "k"}),
                *one.ids("full", 20, {"key": "a"}), *(one.client.send("full", {"key": "b", "n": n}, id=f"b{n}") for n in range(12)),
            )  # fmt: skip
            await _the_first_ones(one)
            await _repeated(one)

    run(test(), 60)


async def _the_first_ones(one: Fleet) -> None:
    (quiet,) = await ended(one, "quiet", 1)
    events = collected(one, "quiet")
    assert len(events) == events_of(one, "quiet", quiet) == 100
    assert quiet.run == events[0].start.run and quiet.payload == events[-1].start.payload and quiet.at >= events[-1].at + 2_000

    (bounded,) = await ended(one, "bounded", 1)
    assert bounded.at >= collected(one, "bounded")[0].at + 1_000

    full = await ended(one, "full", 3)
    for key, runs in (("a", 2), ("b", 1)):
        batches = [start for start in full if decode(start.payload)[0]["key"] == key]
        came = [decode(event.start.payload)["n"] for event in collected(one, "full", key)]
        assert [len(decode(start.payload)) for start in batches] == [10] * runs
        assert [item["n"] for start in sorted(batches, key=lambda start: came.index(decode(start.payload)[0]["n"]))
                for item in decode(start.payload)] == came[: 10 * runs]  # fmt: skip

    (soon,) = await ended(one, "soon", 1)
    assert sorted(item["n"] for item in decode(soon.payload)) == list(range(30))
    assert not starts(one, "restless") and len(collected(one, "restless", "k")) == 5


async def _repeated(one: Fleet) -> None:
    """Events that come once more, after their run has begun or while it is awaited, also at another owner, are in no other run."""
    before = len(one.log.of(subjects.collector("quiet", ""), EventCollected))
    await asyncio.gather(*one.ids("full", 20, {"key": "a"}), *one.ids("restless", 5, {"key": "k"}), *one.ids("quiet", 100))
    await one.log.until(lambda: len(one.log.of(subjects.collector("quiet", ""), EventCollected)) == before + 100, "the repetitions")
    await one.quiet()
    assert open_collections(one) == {"full": 2, "restless": 5}
    assert len(starts(one, "full")) == 3 and len(starts(one, "quiet")) == 1


def open_collections(one: Fleet) -> dict[str, int]:
    """How many events the coordinators of this loop hold for each flow."""
    held: Counter[str] = Counter()
    for owner in (owner for coordinator in one.coordinators for owner in coordinator.owners.values()):
        for flow, collection in [] if owner.partition is None else owner.partition.collections.waiting():
            held[flow] += collection.count
    return dict(held)


def test_what_is_open_goes_with_the_partition_and_no_event_is_lost_or_doubled(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=2) as one:
            await one.deploy(
                chain("full", "f.echo", settings={"batch": {"max": 10, "within": "1h", "key": KEY}}),
                chain("soon", "f.echo", settings={"batch": {"max": 1_000, "within": "3s"}}),
            )
            await asyncio.gather(*one.ids("full", 7, {"key": "a"}), *one.ids("soon", 5))
            await one.log.until(lambda: len(collected(one, "full", "a")) == 7 and len(collected(one, "soon")) == 5, "the events")
            await one.leave(one.coordinators[0])  # in order: with a snapshot
            await one.coordinator()
            assert open_collections(one) == {"full": 7, "soon": 5}
            await asyncio.gather(*one.ids("full", 9, {"key": "a"}))  # the first seven are known
            await one.log.until(lambda: len(collected(one, "full", "a")) == 9, "two more")
            await one.quiet()
            await one.crash(one.coordinators[0])  # without one
            await one.coordinator()
            await one.client.send("full", {"key": "a", "n": 9}, id="k9")
            (full,) = await ended(one, "full", 1)
            assert [item["n"] for item in decode(full.payload)] == [
                decode(event.start.payload)["n"] for event in collected(one, "full", "a")
            ]
            assert sorted(item["n"] for item in decode(full.payload)) == list(range(10))
            (soon,) = await ended(one, "soon", 1)
            assert len(decode(soon.payload)) == 5
            await one.log.until(
                lambda: bool(one.log.of(subjects.collector("soon", ""), CollectionStarted)), "that it is known to have begun"
            )
            await one.quiet()
            assert not open_collections(one)

    run(test(), 60)


def test_a_collection_waits_until_its_flow_may_start_a_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        collecting = {"debounce": {"quiet": "1s", "key": KEY}}
        narrow = chain("narrow", "f.gated", settings=collecting | {"max_concurrent_executions": 1})
        changing = chain("changing", "f.echo", settings=collecting)
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(narrow, changing)
            await asyncio.gather(*(one.client.send("narrow", {"key": key, "gate": str(gate)}) for key in "ab"))
            await one.client.send("changing", {"key": "c"})
            await one.log.until(lambda: bool(collected(one, "changing", "c")), "an open collection")
            await one.client.undeploy("changing")
            await one.log.until(lambda: len(starts(one, "narrow")) == 1, "the first run")
            await one.log.until(lambda: all(fired(one, "narrow", key) for key in "ab") and fired(one, "changing", "c"), "all are closed")
            await one.quiet()
            assert open_collections(one) == {"narrow": 1, "changing": 1}
            assert len(starts(one, "narrow")) == 1 and not starts(one, "changing")
            gate.touch()
            assert len(await ended(one, "narrow", 2)) == 2
            new = await one.client.deploy(changing | {"version": "2.0"}, nodes=[NODES])
            (late,) = await ended(one, "changing", 1)
            assert late.digest == new.digest

    run(test(), 60)


def test_a_client_gets_the_result_of_the_run_that_its_event_became_a_part_of(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=4) as one:
            await one.deploy(
                chain("full", "f.echo", settings={"batch": {"max": 3, "within": "1h", "key": KEY}}), chain("plain", "f.echo"),
            )  # fmt: skip
            handles = [await one.client.start("full", {"key": key, "n": n}, id=f"{key}{n}") for key in "ab" for n in range(3)]
            late = await one.client.start("full", {"key": "a", "n": 3})
            results = [await handle.result(10) for handle in handles]
            assert [[item["key"] for item in result.output] for result in results] == [["a"] * 3] * 3 + [["b"] * 3] * 3
            assert [result.run_id for result in results] == [handles[0].id] * 3 + [handles[3].id] * 3
            assert (await late.joined(10)).id == late.id
            (view,) = await one.client.collections("full")
            assert (view.run, view.count, view.mode, view.closed_at) == (late.id, 1, "batch", 0) and view.collector.endswith(":a")
            assert not await one.client.collections("plain")
            with pytest.raises(NotEnded):
                await late.result(0.1)
            again = await one.client.start("full", {"key": "a", "n": 1}, id="a1")
            assert (await again.joined(10)).id == handles[0].id and (await again.result(10)).run_id == handles[0].id
            plain = await one.client.start("plain", 1)
            assert await plain.joined() is plain
            await one.crash(one.coordinators[0])
            await one.coordinator()
            assert (await late.joined(10)).id == late.id

    run(test())


def test_nobody_is_left_waiting_for_a_run_that_nobody_remembers(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("full", "f.echo", settings={"batch": {"max": 2, "within": "1h"}}))
            for n in range(2):
                await one.client.send("full", n, id=f"k{n}")
            await ended(one, "full", 1)
            await one.log.until(
                lambda: bool(one.log.of(subjects.collector("full", ""), CollectionStarted)), "that it is known to have begun"
            )
            await one.quiet()
            await one.leave(one.coordinators[0])
            await one.coordinator()
            handle = await one.client.start("full", 1, id="k1")
            with pytest.raises(CollectionForgotten, match="nobody remembers"):
                await handle.result(10)

    run(test())


def fired(one: Fleet, flow: str, key: str) -> bool:
    return bool(one.log.of(subjects.collector(flow, key), TimerFired))


def test_an_event_without_a_usable_key_is_a_dead_letter(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo", settings={"debounce": {"quiet": "1h", "key": KEY}}))
            await one.client.send("orders", {"key": "x" * 2_000})
            await one.client.send("orders", {"other": 1})
            await one.log.until(lambda: bool(one.log.letters) and bool(collected(one, "orders")), "a letter, and an event without a key")
            assert [letter.code for letter in one.log.letters] == ["EVENT_REJECTED"]

    run(test())

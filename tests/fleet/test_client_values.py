"""Large values between a client and a fleet: sent, and got back, with the client on the workers' host or on another."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest

from jetfleet.broker.api import Client
from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.meta import Metas
from jetfleet.broker.objects.pins import pin_of_letter, pin_until
from jetfleet.broker.payloads import remote
from jetfleet.broker.payloads.run_states import RunStates
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.errors import EventRejected, UnencodableValue
from jetfleet.schemas.flow.definition import Payloads
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import refs_in
from jetfleet.schemas.payload_errors import PayloadLost
from jetfleet.schemas.records import RunStarted
from jetfleet.schemas.ref import Ref

from .fleets import Fleet, fleet, flow
from .running import run
from .worker_processes import worker

NODES = str(Path(__file__).with_name("value_nodes.py"))
ARRAY = numpy.arange(50_000.0)
NUMBERS = {"type": "object", "required": ["note"], "properties": {"note": {"type": "string"}}}
TAKE = flow("take", {"take": {"type": "v.take"}}, inputs=NUMBERS)
MAKE = flow("make", {"make": {"type": "v.table"}})
ARRAYS = flow("array", {"make": {"type": "v.array"}})
PARTS = flow("parts", {"make": {"type": "v.arrays"}}, payloads={"durability": "object-store", "inline_max": "1KiB"})
SMALL = flow("small", {"make": {"type": "v.small"}})
ECHO = flow("echo", {"wait": {"type": "std::wait", "config": {"signal": "go"}}})


def with_fleet(url: str, folder: Path, body: Callable[[Fleet], Awaitable[None]], *flows: dict[str, Any]) -> None:
    """Run the body with a fleet in this loop that has these flows, and one worker, whose arena is `folder/worker/arena`."""

    async def whole() -> None:
        async with fleet(url, folder, workers=0) as one, worker(url, folder / "worker", nodes=NODES):
            for each in flows:
                await one.client.deploy(each, nodes=[NODES])
            await body(one)

    run(whole())


# --- sent


def test_an_array_is_sent_and_the_node_gets_it(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        result = await one.client.run("take", {"rows": ARRAY, "note": "n"})
        assert result.output == {"type": "ndarray", "sum": ARRAY.sum(), "note": "n"}

    with_fleet(fresh_url, tmp_path, body, TAKE)


def test_what_is_large_is_in_the_object_store_before_the_event_is_sent(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        run_id = await one.client.send("take", {"rows": ARRAY.tolist(), "note": "n"}, id="k")
        found = {each.meta.digest: each.meta for each in await Metas(one.client.connection).all()}
        await one.log.ended(run_id)
        (started,) = one.log.of(run_id, RunStarted)
        (ref,) = refs_in(started.payload)
        assert (ref.host, ref.run, ref.codec, ref.count) == ("", run_id, "list", len(ARRAY))
        assert found[ref.digest].content == "whole"

    with_fleet(fresh_url, tmp_path, body, TAKE)


def test_a_ref_to_another_runs_value_may_be_sent_on(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        first = await one.client.start("array")
        ref = (await first.result(fetch=False)).output
        assert isinstance(ref, Ref)
        handle = await one.client.start("take", {"rows": ref, "note": "n"})
        assert (await handle.result()).output["sum"] == sum(range(30_000))
        (started,) = one.log.of(handle.id, RunStarted)
        (sent,) = refs_in(started.payload)
        assert sent.digest  # it is there, whatever becomes of the first run
        pins = await one.client.connection.streams.subjects(subjects.OBJECTS, subjects.object_pin(handle.id, "*"))
        assert [pin.rpartition(".")[2] for pin in pins] == [sent.digest]

    with_fleet(fresh_url, tmp_path, body, TAKE, ARRAYS)


def test_a_list_of_arrays_of_another_run_is_sent_on_as_a_whole(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        first = await one.client.start("echo", {"parts": [ARRAY[:2_000] + n for n in range(10)]})
        await first.signal("go")
        refs = (await first.result(fetch=False)).output["input"]
        assert isinstance(refs["parts"], Ref)
        second = await one.client.start("echo", refs)
        await second.signal("go", "later")
        result = await second.result()
        numpy.testing.assert_array_equal(result.output["input"]["parts"][9], ARRAY[:2_000] + 9)

    with_fleet(fresh_url, tmp_path, body, ECHO)


def test_the_same_event_again_is_stored_once(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        for key in ("a", "b", "a"):
            await one.client.send("take", {"rows": ARRAY, "note": key}, id=key)
        assert len(await Metas(one.client.connection).all()) == 1

    with_fleet(fresh_url, tmp_path, body, TAKE)


def test_an_event_with_an_array_in_it_is_still_held_against_the_inputs(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        with pytest.raises(EventRejected, match="note"):
            await one.client.send("take", {"rows": ARRAY, "note": 7})
        assert await Metas(one.client.connection).all() == []

    with_fleet(fresh_url, tmp_path, body, TAKE)


@pytest.mark.parametrize("together", [False, True])
def test_the_values_of_a_dead_letter_are_there_when_it_is_sent_again_days_later(fresh_url: str, tmp_path: Path, together: bool) -> None:
    """Long after those of other runs that never began were given up."""

    async def body(one: Fleet) -> None:
        connection, passed_s = one.client.connection, [0.0]
        event = await one.client.values.outgoing({"rows": ARRAY, "note": 7}, subjects.run_id("take", "k"), Payloads())
        headers = {"Content-Type": "application/msgpack"} | ({"Jetfleet-Batch": "1"} if together else {})
        data = messages.encode_all([BatchedEvent("k", event)]) if together else event
        await connection.publisher.publish(subjects.event("take"), data, id="k", headers=headers)
        await one.log.until(lambda: len(one.log.letters) == 1, "the letter: the event does not fit the inputs")
        states = RunStates(connection, one.client.partitions, lambda: 1_000.0 + passed_s[0], lambda: time.time() + passed_s[0])
        janitor = Janitor(connection, grace_s=0, clock=lambda: time.time() + passed_s[0])

        async def later(*days: float) -> None:
            for passed_s[0] in (day * 86_400.0 for day in days):
                await janitor.sweep(states.over)

        await later(0, 1, 7, 7.5)
        assert len(await Metas(connection).all()) == 1
        await later(31, 31.5, 31.5, 31.5)
        assert await Metas(connection).all() == []

    with_fleet(fresh_url, tmp_path, body, TAKE)


def test_a_dead_letter_changes_nothing_about_how_long_a_run_keeps_the_value_that_it_names(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        streams = one.client.connection.streams
        made = (await (await one.client.start("array")).result(fetch=False)).output
        event = await one.client.values.outgoing({"rows": made, "note": 7}, subjects.run_id("take", "k"), Payloads())
        (ref,) = refs_in(event)
        kept, body = pin_until(ref.run, ref.digest, 1 << 50)  # as the run does for what it hands on, where its history is long
        await one.client.connection.publisher.publish(kept, body)
        await one.client.connection.publisher.publish(
            subjects.event("take"), event, id="k", headers={"Content-Type": "application/msgpack"}
        )
        await one.log.until(lambda: len(one.log.letters) == 1, "the letter: the event does not fit the inputs")
        of_letter, _ = pin_of_letter(ref.run, ref.digest, 0)
        async with asyncio.timeout(15):
            while await streams.last(subjects.OBJECTS, of_letter) is None:
                await asyncio.sleep(0.01)
        stored = await streams.last(subjects.OBJECTS, kept)
        assert stored is not None and stored.data == body

    with_fleet(fresh_url, tmp_path, body, TAKE, ARRAYS)


def test_what_nobody_can_encode_is_refused(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        with pytest.raises(UnencodableValue):
            await one.client.send("echo", {"f": print})

    with_fleet(fresh_url, tmp_path, body, ECHO)


def test_a_signal_may_be_large(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        handle = await one.client.start("echo")
        await handle.signal("go", {"rows": ARRAY})
        result = await handle.result()
        numpy.testing.assert_array_equal(result.output["response"]["rows"], ARRAY)

    with_fleet(fresh_url, tmp_path, body, ECHO)


# --- got back


def test_a_client_on_another_host_gets_the_value(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        result = await one.client.run("make")
        rows = result.output["rows"]
        assert isinstance(rows, pyarrow.Table)
        assert rows.column("id")[19_999].as_py() == 19_999

    with_fleet(fresh_url, tmp_path, body, MAKE)


def test_a_client_on_the_workers_host_gets_a_view_of_the_arena(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        async with await Client.connect(fresh_url, arena=tmp_path / "worker" / "arena") as client:
            result = await client.run("make")
            assert result.output["rows"].num_rows == 20_000
        assert await Metas(one.client.connection).all() == []  # nothing was uploaded for it

    with_fleet(fresh_url, tmp_path, body, MAKE)


def test_small_arrays_are_arrays_again(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        result = await one.client.run("small")
        numpy.testing.assert_array_equal(result.output, numpy.arange(3))

    with_fleet(fresh_url, tmp_path, body, SMALL)


def test_who_asks_for_refs_gets_refs_and_may_fetch_them_later(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        handle = await one.client.start("make")
        result = await handle.result(fetch=False)
        ref = result.output["rows"]
        assert isinstance(ref, Ref)
        assert await one.client.fetch(ref.at((3, "name"))) == "n3"
        assert (await one.client.fetch({"a": [ref]}))["a"][0].num_rows == 20_000

    with_fleet(fresh_url, tmp_path, body, MAKE)


def test_several_tasks_of_a_client_may_fetch_at_once(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        handles = [await one.client.start("array"), await one.client.start("make")]
        first, second = [(await handle.result(fetch=False)).output for handle in handles]

        async def often() -> None:
            for _ in range(10):
                assert (await one.client.fetch(second))["rows"].num_rows == 20_000

        for found in (await asyncio.gather(*(one.client.fetch([first, second["rows"]]) for _ in range(5)), often()))[:5]:
            assert found[0].sum() == sum(range(30_000))

    with_fleet(fresh_url, tmp_path, body, MAKE, ARRAYS)


def test_a_stored_output_is_whole_for_as_long_as_its_history_also_what_stands_in_lists(fresh_url: str, tmp_path: Path) -> None:
    async def body(one: Fleet) -> None:
        handle = await one.client.start("parts")
        ref = (await handle.result(fetch=False)).output
        assert isinstance(ref, Ref)
        assert ref.nested
        shutil.rmtree(tmp_path / "worker" / "arena")
        states = RunStates(one.client.connection, one.client.partitions)
        async with asyncio.timeout(20):  # until the run is archived
            while not await states.over([handle.id]):
                pass
        for _ in range(3):
            await Janitor(one.client.connection, grace_s=0).sweep(states.over)
        assert [int(part[0]) for part in (await handle.result()).output] == list(range(20))

    with_fleet(fresh_url, tmp_path, body, PARTS)


def test_an_output_that_is_lost_says_so_and_the_result_is_there_without_it(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "GIVE_UP_S", 0.2)

    async def body(one: Fleet) -> None:
        handle = await one.client.start("make")
        assert (await handle.result(fetch=False)).completed
        for segment in (tmp_path / "worker" / "arena").glob("*.seg"):
            segment.unlink()
        with pytest.raises(PayloadLost):
            await handle.result()
        assert (await handle.result(fetch=False)).completed

    with_fleet(fresh_url, tmp_path, body, MAKE)

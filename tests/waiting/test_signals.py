"""Signals on a fleet: several names at once, early ones, typed ones, repeated ones; and owners that are killed in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jetfleet.broker.api.errors import RunEnded
from jetfleet.broker.waiting import SignalRejected
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_batch
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import Record, SignalReceived

from ..fleet.fleets import Fleet, coordinator_process, fleet, flow
from ..fleet.running import run
from .asking import output, pending

NUMBER = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def wait(signal: str, **config: object) -> dict[str, object]:
    return {"type": "std::wait", "config": {"signal": signal, **config}}


async def written(one: Fleet, record: Record) -> None:
    """Put a record into the WAL past every check."""
    partition = subjects.partition_of(record.run, one.client.partitions)
    await one.client.connection.publisher.publish(subjects.wal(partition), encode_batch([record]))


def test_two_signals_are_awaited_at_once_and_come_in_any_order(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            nodes = {"start": {"type": "std::merge"}, "a": wait("paid"), "b": wait("packed"), "both": {"type": "std::merge"}}
            await one.deploy(flow("two", nodes, ["start -> a", "start -> b", "a -> both", "b -> both"]))
            for n, order in enumerate((("paid", "packed"), ("packed", "paid"))):
                id = await one.client.send("two", n)
                await pending(one, 2, kind="signal", run=id)
                for name in order:
                    await one.client.signal(id, name, name.upper())
                said = await output(one, id)
                assert {key: value["response"] for key, value in said.items()} == {"a": "PAID", "b": "PACKED"}

    run(test())


def test_what_does_not_fit_is_told_to_the_sender_and_ends_no_wait_if_it_comes_unchecked(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(flow("typed", {"first": wait("go"), "count": wait("count", schema=NUMBER)}))
            id = await one.client.send("typed", 1)
            await pending(one, 1, kind="signal")
            with pytest.raises(SignalRejected, match=r"signal 'count': n: 1.5 is not of type \"integer\""):
                await one.client.signal(id, "count", {"n": 1.5})  # nobody waits for it yet, but somebody will
            await one.client.signal(id, "go")
            (asked,) = await pending(one, 1, kind="signal", name="count")
            assert asked.schema == NUMBER
            await written(one, SignalReceived(id, 1, "count", encode("rubbish")))
            await one.quiet()
            state = one.open_run(id)
            assert state is not None and state.ignored == 1
            await one.client.signal(id, "count", {"n": 5})
            assert (await output(one, id))["response"] == {"n": 5}
            assert [type(each).__name__ for each in one.log.journal(id)] == ["RunStarted", *["SignalReceived"] * 3]
            with pytest.raises(RunEnded, match="completed"):
                await one.client.signal(id, "count", {"n": 6})

    run(test())


def test_early_signals_outlive_a_killed_owner_and_the_same_id_counts_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0, coordinators=0) as one:
            await one.deploy(flow("early", {"first": wait("go"), "second": wait("more"), "third": wait("more")}))
            id = await one.client.send("early", 1)
            with coordinator_process(fresh_url, tmp_path / "first") as first:
                await pending(one, 1, kind="signal")
                for _ in range(3):
                    await one.client.signal(id, "more", "early", id="s1")
                first.kill()
            with coordinator_process(fresh_url, tmp_path / "second") as second:
                await pending(one, 1, kind="signal", name="go")
                await one.client.signal(id, "go")
                await pending(one, 1, kind="signal", name="more")  # the early one has ended one wait, its repetitions none
                await one.client.signal(id, "more", "late", id="s2")
                second.kill()
            with coordinator_process(fresh_url, tmp_path / "third"):
                said = await output(one, id)
                assert (said["input"]["response"], said["response"]) == ("early", "late")

    run(test(), 60)


def test_an_event_ends_the_wait_that_it_fits_and_another_one_times_out(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            node = {"type": "std::wait", "config": {"event": "paid", "correlate": {"order.id": "${go.id}"}, "timeout_ms": 3_000}}
            end = {"type": "std::merge", "config": {"strategy": "any"}}
            await one.deploy(flow("pays", {"wait": node, "end": end}, ["wait -> end", "wait.rejected -> end"]))
            fits, waits = [await one.client.send("pays", {"id": n}) for n in (7, 8)]
            async with asyncio.timeout(10):
                while len([view for each in (fits, waits) if (view := await one.client.look(each)) and view.blocked]) < 2:
                    await asyncio.sleep(0.01)
            await one.client.event("paid", {"order": {"id": 7}, "amount": 3})
            said = await output(one, fits)
            assert said["response"]["amount"] == 3 and not said["timed_out"]
            assert (await output(one, waits))["timed_out"], "an event that does not fit neither ends a wait nor moves its timeout"

    run(test())

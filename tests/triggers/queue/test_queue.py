"""A queue: what is sent is one run of each flow that listens, whoever dies; what finds no room is refused and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest

from jetfleet.broker.api import QueueFull
from jetfleet.schemas import subjects
from jetfleet.schemas.errors import UsageError

from ...fleet.fleets import coordinator_process, fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .places import listening, meta, payload, raw, run_of, start, there

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_message_is_a_run_with_its_key_its_headers_and_its_trace(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders"}))
            queue = one.client.queue("orders")
            sent = await queue.send({"n": 7}, id="o-7", key="customer-3", headers={"Source": "till"}, trace=TRACE, topic="eu.new")
            assert sent == "o-7" == await queue.send({"n": 7}, id="o-7"), "the same message"
            id = run_of("shop", "o-7")
            await one.log.ended(id)
            assert payload(one, id) == {"n": 7} and start(one, id).trace == TRACE
            assert meta(one, id)["subject"] == "orders.eu.new" and meta(one, id)["key"] == "customer-3"
            assert meta(one, id)["headers"]["Source"] == "till"
            assert await queue.depth() == 0 and one.log.begun == {id}

    run(test())


@pytest.mark.parametrize(
    ("data", "type", "value"),
    [
        (b'{"n": 1}', "", {"n": 1}),
        (b'{"n": 1}', "application/vnd.shop+json; v=1", {"n": 1}),
        (b"\x81\xa1n\x01", "application/msgpack", {"n": 1}),
        (b"\x81\xa1n\x01", "", {"n": 1}),
        ("grüße".encode(), "text/plain; charset=utf-8", "grüße"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        (b"", "", None),
    ],
    ids=["bare JSON", "a kind of JSON", "msgpack", "msgpack unsaid", "text", "bytes", "nothing"],
)
def test_a_body_is_read_by_its_content_type(fresh_url: str, tmp_path: Path, data: bytes, type: str, value: Any) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(listening("shop", {"name": "orders"}))
            await there(one.client.connection, "QUEUE_orders")
            await raw(one.client.connection, "queue.orders", data, "m", **({"Content_Type": type} if type else {}))
            id = run_of("shop", "m")
            await one.log.until(lambda: id in one.log.begun, "the run")
            assert payload(one, id) == value

    run(test())


def test_a_body_that_cannot_be_read_is_kept_with_the_reason_and_the_next_one_runs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders"}))
            await there(one.client.connection, "QUEUE_orders")
            await raw(one.client.connection, "queue.orders", b'{"n": ', "cut-off")
            await raw(one.client.connection, "queue.orders", b'{"n": 2}', "whole")
            await one.log.ended(run_of("shop", "whole"))
            await one.log.until(lambda: bool(one.log.letters), "a dead letter")
            (letter,) = one.log.letters
            assert (letter.code, letter.subject) == ("UNREADABLE_EVENT", "events.shop.in")
            key, payload, *_ = msgpack.unpackb(letter.data)[0]  # as it would be an event, to be sent again
            assert (key, msgpack.unpackb(payload)) == ("in/cut-off", b'{"n": ')
            assert "no JSON" in letter.reason and letter.headers["Nats-Msg-Id"] == "in/cut-off"

    run(test())


def test_a_full_queue_refuses_and_who_waits_for_room_gets_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 5}))
            await there(one.client.connection, "QUEUE_orders")
            await one.client.pause_trigger("shop", "in")
            await until(lambda: _paused(one), "a paused source")
            queue = one.client.queue("orders")
            for n in range(5):
                await queue.send(n, id=f"k{n}")
            with pytest.raises(QueueFull, match="maximum messages exceeded") as refused:
                await queue.send(5, id="k5")
            assert refused.value.code == "QUEUE_FULL" and await queue.depth() == await queue.capacity() == 5
            with pytest.raises(QueueFull):
                await queue.put(5, id="k5", timeout_s=0.05)
            waiting = asyncio.create_task(queue.put(5, id="k5"))
            assert not one.log.begun
            await one.client.resume_trigger("shop", "in")
            await waiting
            await one.log.ended(*(run_of("shop", f"k{n}") for n in range(6)))

    run(test())


def _paused(one: Any) -> bool:
    return all(served.state == "paused" for each in one.coordinators for served in each.triggers.served())


def test_another_capacity_is_deployed_and_what_waits_stays(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 5}))
            queue = one.client.queue("orders")
            await there(one.client.connection, "QUEUE_orders")
            await one.client.pause_trigger("shop", "in")
            await until(lambda: _paused(one), "a paused source")
            ids = [await queue.send(n, id=f"k{n}") for n in range(5)]
            for capacity in (8, 2):
                await one.deploy(listening("shop", {"name": "orders", "capacity": capacity}))
                async with asyncio.timeout(15):
                    while await queue.capacity() != capacity:
                        await asyncio.sleep(0.01)
            assert await queue.depth() == 5, "less room takes nothing away"
            await one.client.resume_trigger("shop", "in")
            await one.log.ended(*(run_of("shop", id) for id in ids))

    run(test())


def test_two_flows_on_one_queue_both_get_each_message_also_if_they_want_different_capacities(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 50}), listening("books", {"name": "orders", "capacity": 500}))
            queue = one.client.queue("orders")
            await there(one.client.connection, "QUEUE_orders")
            for n in range(30):
                await queue.put(n, id=f"k{n}")
            await one.log.ended(*(run_of(flow, f"k{n}") for flow in ("shop", "books") for n in range(30)))
            await one.quiet()
            assert sum(each.counters.runs_started for each in one.coordinators) == 60
            assert await queue.capacity() == 500

    run(test())


def test_messages_sent_before_any_flow_listens_wait_and_a_queue_without_a_name_is_called_after_its_trigger(
    fresh_url: str, tmp_path: Path
) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            queue = one.client.queue("shop-in")
            await queue.send({"n": 1}, id="early")
            assert await queue.depth() == 1
            await one.deploy(listening("shop", {}))
            await one.log.ended(run_of("shop", "early"))
            assert await queue.depth() == 0
            await one.client.undeploy("shop")
            await until(lambda: not one.coordinators[0].triggers.served(), "nobody to serve it")
            await queue.send({"n": 2}, id="late")
            assert await queue.depth() == 1 and await queue.delete() and await queue.depth() == 0

    run(test())


def test_a_queue_that_is_deleted_while_a_flow_listens_comes_back(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 7}))
            queue = one.client.queue("orders")
            await queue.send(1, id="before")
            await one.log.ended(run_of("shop", "before"))
            await queue.delete()
            await there(one.client.connection, "QUEUE_orders")
            await queue.send(2, id="after")
            await one.log.ended(run_of("shop", "after"))
            assert await queue.capacity() == 7

    run(test())


def test_a_large_message_arrives_whole(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders"}))
            value = {"rows": ["x" * 1_000] * 3_000}
            await one.client.queue("orders").send(value, id="large")
            result = await (await one.client.handle(run_of("shop", "large"))).result(15)
            assert result.completed and result.output == value

    run(test())


@pytest.mark.parametrize("name", ["", "a.b", "two words", "*", "7up"])
def test_what_is_no_name_of_a_queue_is_refused(fresh_url: str, tmp_path: Path, name: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            with pytest.raises(UsageError, match="no name of a queue"):
                one.client.queue(name)

    run(test())


def test_headers_of_the_broker_are_not_the_senders_to_set(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            with pytest.raises(UsageError, match="Nats-Rollup"):
                await one.client.queue("orders").send(1, headers={"Nats-Rollup": "all"})
            assert await one.client.connection.streams.stream_info(subjects.queue_stream("orders")) is None

    run(test())


def test_two_thousand_messages_are_a_run_each_although_a_coordinator_is_killed_in_the_middle(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        count = 2_000
        async with fleet(fresh_url, tmp_path, partitions=4) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await until(lambda: len(one.coordinators[0].owners) == 2, "half of the partitions here")
                await one.deploy(listening("shop", {"name": "orders", "capacity": 10_000}, settings={"max_concurrent_executions": 5_000}))
                queue = one.client.queue("orders")
                await there(one.client.connection, "QUEUE_orders")
                await asyncio.gather(*(queue.send(n, id=f"k{n}") for n in range(count // 2)))
                await one.log.until(lambda: len(one.log.begun) > count // 4, "runs")
                other.kill()
                await asyncio.gather(*(queue.send(n, id=f"k{n}") for n in range(count // 2, count)))
                runs = [run_of("shop", f"k{n}") for n in range(count)]
                await one.log.ended(*runs, deadline_s=60)
                async with asyncio.timeout(15):  # what the dead one had not acknowledged comes again, and is no second run
                    while await queue.depth():
                        await asyncio.sleep(0.01)
                await one.quiet()
                assert one.log.begun == set(runs) and not one.log.letters
                ends = [sum(part.summary is not None for part in one.log.parts[id][-1:]) for id in runs]
                assert ends == [1] * count

    run(test(), 100)

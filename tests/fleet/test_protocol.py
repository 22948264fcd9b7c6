"""A publisher and a worker that know nothing of jetfleet but the page about the protocol, on a fleet at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack

from jetfleet.broker.api import Client
from jetfleet.schemas import subjects
from jetfleet.schemas.records import Completion

from .fleets import Fleet, chain, fleet, flow
from .raw_nats import RawNats
from .raw_worker import RawWorker, deliveries
from .running import run

QUEUE = "foreign"


def blocking(url: str, work: Callable[[RawNats], Any]) -> Any:
    """What the work gives, on a connection of its own, in a thread: the fleet runs in the loop of the test."""

    def connected() -> Any:
        with RawNats(url) as nats:
            return work(nats)

    return asyncio.to_thread(connected)


def foreign(*types: str, **policies: Any) -> dict[str, Any]:
    """A chain of nodes that only foreign workers serve."""
    return flow("orders", {f"n{place}": {"type": type, "queue": QUEUE, **policies} for place, type in enumerate(types)})


async def tasks_left(one: Fleet) -> int:
    info = await one.client.connection.streams.stream_info(subjects.TASKS)
    assert info is not None
    return int(info["state"]["messages"]) - 1  # the epoch is one


async def output(client: Client, run_id: str) -> Any:
    result = await (await client.handle(run_id)).result(15)
    assert result.completed, result.error
    return result.output


# --- publishers


def test_an_event_in_json_starts_a_run_whose_end_the_publisher_hears_of(fresh_url: str, tmp_path: Path) -> None:
    id = "orders-a5ee1ada7abd60b2"

    def work(nats: RawNats) -> list[Any]:
        partition = crc32(id.encode()) % 2
        nats.subscribe(f"ended.{partition}")
        headers = {"Nats-Msg-Id": "orders-4711", "Content-Type": "application/json"}
        first = nats.publish("events.orders.go", b'{"n": 1}', headers)
        notice = nats.next(lambda message: message.subject == f"ended.{partition}")
        again = nats.publish("events.orders.go", b'{"n": 1}', headers)
        asked = nats.request(f"run.{partition}", msgpack.packb([id]))
        return [first, again, msgpack.unpackb(notice.data), msgpack.unpackb(asked.data)]

    async def test() -> None:
        assert subjects.run_id("orders", "orders-4711") == id
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            first, again, notices, asked = await blocking(fresh_url, work)
            assert (first["stream"], first.get("duplicate"), again["duplicate"]) == ("EVENTS", None, True)
            assert [ended[:2] for ended in notices] == [[id, "completed"]]
            assert msgpack.unpackb(notices[0][3]) == {"n": 1} and asked == notices[0]

    run(test())


def test_events_in_msgpack_are_read_as_such_with_and_without_saying_so(fresh_url: str, tmp_path: Path) -> None:
    value = {"text": "grüße", "bytes": b"\x00\xff", "list": [1, 2.5, None]}

    def work(nats: RawNats) -> None:
        nats.publish("events.orders", msgpack.packb(value), {"Nats-Msg-Id": "said", "Content-Type": "application/msgpack"})
        nats.publish("events.orders", msgpack.packb(value), {"Nats-Msg-Id": "unsaid"})

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            await blocking(fresh_url, work)
            for key in ("said", "unsaid"):
                assert await output(one.client, subjects.run_id("orders", key)) == value

    run(test())


def test_a_batch_is_a_run_for_each_key_in_it(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> None:
        events = [[f"k{n}", msgpack.packb({"n": n})] for n in (0, 1, 2, 1)]
        nats.publish("events.orders.go", msgpack.packb(events), {"Jetfleet-Batch": "1"})

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            await blocking(fresh_url, work)
            assert [await output(one.client, subjects.run_id("orders", f"k{n}")) for n in range(3)] == [{"n": n} for n in range(3)]
            await one.quiet()
            assert one.coordinators[0].counters.runs_started == 3

    run(test())


def test_the_same_message_id_on_another_flow_is_dropped_by_the_server(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> list[Any]:
        answers = [nats.publish(f"events.{name}", b"1", {"Nats-Msg-Id": "7"}) for name in ("orders", "bills")]
        return [answer.get("duplicate", False) for answer in answers]

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0):
            assert await blocking(fresh_url, work) == [False, True], "the page warns of this"

    run(test())


def test_a_run_is_cancelled_by_a_record_and_its_tasks_are_called_off(fresh_url: str, tmp_path: Path) -> None:
    id = subjects.run_id("orders", "k")
    partition = crc32(id.encode()) % 2

    def work(nats: RawNats) -> list[Any]:
        nats.subscribe("cancel")
        nats.subscribe(f"ended.{partition}")
        nats.publish("events.orders", b"{}", {"Nats-Msg-Id": "k"})
        worker = RawWorker(nats, QUEUE, {})
        taken = msgpack.unpackb(worker.take().data)
        nats.publish(f"wal.{partition}", msgpack.packb([[7, id, 1_750_000_000_000, "changed my mind"]]))
        off = nats.next(lambda message: message.subject == "cancel")
        ended = nats.next(lambda message: message.subject == f"ended.{partition}")
        return [taken[0][:3], msgpack.unpackb(off.data)[0], msgpack.unpackb(ended.data)[0][:2]]

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.double"))
            taken, off, ended = await blocking(fresh_url, work)
            assert taken == off == [id, [0], 1] and ended == [id, "cancelled"]

    run(test())


# --- a worker


def test_a_foreign_worker_executes_the_tasks_of_a_run(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> None:
        worker = RawWorker(nats, QUEUE, {"far.double": lambda value: {"n": 2 * value["n"]}, "far.text": str})
        worker.work(worker.take())
        worker.work(worker.take())

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.double", "far.text"))
            id = await one.client.send("orders", {"n": 21})
            await blocking(fresh_url, work)
            assert await output(one.client, id) == "{'n': 42}"
            async with asyncio.timeout(15):
                while await tasks_left(one):
                    await asyncio.sleep(0.01)

    run(test())


def test_an_output_with_a_ref_that_nobody_can_read_fails_the_node_that_reads_it(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> None:
        worker = RawWorker(nats, QUEUE, {"far.broken": lambda value: {"rows": msgpack.ExtType(1, b"no ref")}})
        worker.work(worker.take())

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(flow("orders", {"far": {"type": "far.broken", "queue": QUEUE}, "near": {"type": "f.echo"}}))
            handle = await one.client.start("orders", {"n": 1})
            await blocking(fresh_url, work)
            result = await handle.result(15)
            assert result.error is not None and (result.error.node, result.error.type) == ("near", "unreadable_payload")

    run(test())


def test_what_was_recorded_and_not_acknowledged_is_not_executed_again(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> list[Any]:
        first = RawWorker(nats, QUEUE, {"far.echo": lambda value: value})
        message = first.take()
        first.execute(message)
        nats.send(message.reply, b"-NAK")  # as if it had died before its acknowledgement
        second = RawWorker(nats, QUEUE, first.nodes)
        again = second.take()
        second.work(again)
        return [deliveries(again), again.data == message.data, len(first.executed), second.executed]

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.echo"))
            id = await one.client.send("orders", {"n": 1})
            assert await blocking(fresh_url, work) == [2, True, 1, []]
            assert await output(one.client, id) == {"n": 1}
            await one.quiet()
            assert len(one.log.of(id, Completion)) == 1

    run(test())


def test_what_was_published_again_after_the_server_lost_its_memory_is_asked_about(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> list[Any]:
        worker = RawWorker(nats, QUEUE, {"far.echo": lambda value: value})
        message = worker.take()
        worker.work(message)
        old, new = {"Jetfleet-Epoch": "0123456789abcdef"}, {"Jetfleet-Epoch": worker.epoch}
        assert message.headers["Jetfleet-Epoch"] == worker.epoch
        for headers in (old, new):
            nats.publish(message.subject, message.data, headers)
            worker.work(worker.take())
        return worker.executed

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.echo"))
            id = await one.client.send("orders", {"n": 1})
            assert await blocking(fresh_url, work) == [(id, 0, 1)] * 2, "the one of this epoch is taken for a first one"
            assert await output(one.client, id) == {"n": 1}
            await one.quiet()
            assert one.coordinators[0].counters.records_ignored == 1

    run(test())


def test_a_failure_that_was_recorded_is_tried_again_by_the_policy(fresh_url: str, tmp_path: Path) -> None:
    failures = iter([ValueError("not yet")])

    def picky(value: Any) -> Any:
        for error in failures:
            raise error
        return value

    def work(nats: RawNats) -> list[Any]:
        worker = RawWorker(nats, QUEUE, {"far.picky": picky})
        worker.work(worker.take())
        worker.work(worker.take())
        return [attempt for _, _, attempt in worker.executed]

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.picky", retry={"max_attempts": 2, "initial_delay_ms": 1}))
            id = await one.client.send("orders", {"n": 1})
            assert await blocking(fresh_url, work) == [1, 2]
            assert await output(one.client, id) == {"n": 1}

    run(test())


def test_what_a_worker_does_not_serve_it_gives_back_and_nobody_has_died(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> list[Any]:
        lacking = RawWorker(nats, QUEUE, {})
        lacking.work(lacking.take())
        serving = RawWorker(nats, QUEUE, {"far.echo": lambda value: value})
        message = serving.take()
        serving.work(message)
        return [message.headers["Jetfleet-Deaths"], deliveries(message), len(serving.executed)]

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.echo"))
            id = await one.client.send("orders", {"n": 1})
            assert await blocking(fresh_url, work) == ["0", 1, 1]
            assert await output(one.client, id) == {"n": 1}

    run(test())


def test_a_task_that_took_five_workers_down_fails_its_run_as_poison(fresh_url: str, tmp_path: Path) -> None:
    def work(nats: RawNats) -> list[Any]:
        worker = RawWorker(nats, QUEUE, {"far.echo": lambda value: value})
        for _ in range(5):
            nats.send(worker.take().reply, b"-NAK")
        worker.work(worker.take())
        return worker.executed

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.client.deploy(foreign("far.echo"))
            handle = await one.client.start("orders", {"n": 1})
            assert await blocking(fresh_url, work) == []
            result = await handle.result(15)
            assert result.status == "failed" and result.error is not None and result.error.type == "poison_task"

    run(test())

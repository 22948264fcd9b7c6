"""Many messages at once share a write: a queue keeps its capacity, its order and its ids all the same, and what is done with gives its room back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import QueueFull
from jetfleet.broker.client import Connection, Message, Pull, StoredMessage, Streams
from jetfleet.broker.queues import CONSUMER, ensure_queue
from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode

from ...fleet.fleets import fleet
from ...fleet.running import run
from ...fleet.trouble import until
from .places import listening, payload, run_of, run_on, start, there


async def stored(connection: Connection, queue: str = "orders") -> list[StoredMessage]:
    return [message async for message in connection.streams.read(subjects.queue_stream(queue))]


def ids(messages: list[StoredMessage]) -> list[str]:
    return [message.headers["Nats-Msg-Id"] for message in messages]


def test_a_queue_takes_as_many_as_it_holds_and_each_sender_knows_about_its_own(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await ensure_queue(one.client.connection, "orders", 100)
            queue = one.client.queue("orders")
            told = await asyncio.gather(*(queue.send(n, id=f"k{n}") for n in range(300)), return_exceptions=True)
            assert [each for each in told if not isinstance(each, QueueFull)] == [f"k{n}" for n in range(100)]
            assert ids(await stored(one.client.connection)) == [f"k{n}" for n in range(100)] and await queue.depth() == 100

    run(test())


def test_the_same_ids_sent_again_among_others_are_the_same_runs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 1_000}))
            queue = one.client.queue("orders")
            for numbers in (range(60), range(30, 100), range(100)):
                await asyncio.gather(*(queue.send(n, id=f"k{n}") for n in numbers))
            runs = [run_of("shop", f"k{n}") for n in range(100)]
            await one.log.ended(*runs)
            await one.quiet()
            assert one.log.begun == set(runs) and sum(each.counters.runs_started for each in one.coordinators) == 100
            assert payload(one, runs[42]) == 42 and start(one, runs[42]).trace == ""

    run(test())


def test_a_sender_that_is_killed_leaves_whole_batches_and_all_that_it_was_told(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await ensure_queue(one.client.connection, "orders", 1_000_000)
            with subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("sending.py")), fresh_url, "orders"], stdout=subprocess.PIPE, text=True
            ) as sender:
                assert sender.stdout is not None
                told = [(await asyncio.to_thread(sender.stdout.readline)).strip() for _ in range(1_000)]
                sender.kill()
                told += sender.stdout.read().split()
            kept = await stored(one.client.connection)
            assert set(told) <= set(ids(kept)) == {f"k{n}" for n in range(len(kept))}
            assert [decode(message.data) for message in kept] == list(range(len(kept)))
            of_batch: dict[str, list[StoredMessage]] = {}
            for message in kept:
                of_batch.setdefault(message.headers["Nats-Batch-Id"], []).append(message)
            for messages in of_batch.values():
                assert [int(each.headers["Nats-Batch-Sequence"]) for each in messages] == list(range(1, len(messages) + 1))
                assert ["Nats-Batch-Commit" in each.headers for each in messages] == [False] * (len(messages) - 1) + [True]

    run(test())


def test_there_is_room_for_a_sender_as_soon_as_nothing_waits(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 5}))
            await there(one.client.connection, "QUEUE_orders")
            queue = one.client.queue("orders")
            for turn in range(20):
                for n in range(5):
                    await queue.send(n, id=f"{turn}-{n}")
                async with asyncio.timeout(15):
                    while await queue.depth():
                        await asyncio.sleep(0.001)
            await one.log.ended(*(run_of("shop", f"{turn}-{n}") for turn in range(20) for n in range(5)))

    run(test())


def test_a_message_that_is_not_done_with_keeps_nobody_elses_room(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 5}))
            await there(one.client.connection, "QUEUE_orders")
            await one.client.pause_trigger("shop", "in")
            await until(lambda: _paused(one), "a paused source")
            queue = one.client.queue("orders")
            await queue.send(0, id="held")
            held: list[Message] = []
            pull = Pull(one.client.connection, "QUEUE_orders", CONSUMER, held.append, room=lambda: 1 - len(held))
            await pull.start()
            await until(lambda: bool(held), "the message, in other hands")
            holding = asyncio.create_task(_hold(held[0]))
            await one.client.resume_trigger("shop", "in")
            for n in range(12):
                await queue.put(n, id=f"k{n}")
            await one.log.ended(*(run_of("shop", f"k{n}") for n in range(12)))
            assert run_of("shop", "held") not in one.log.begun and await queue.depth() == 1
            async with asyncio.timeout(15):
                while len(await stored(one.client.connection)) > 1:
                    await asyncio.sleep(0.01)
            holding.cancel()
            await pull.stop()
            held[0].give_back()
            await one.log.ended(run_of("shop", "held"))

    run(test())


def _paused(one: Any) -> bool:
    return all(served.state == "paused" for each in one.coordinators for served in each.triggers.served())


async def _hold(message: Message) -> None:
    while True:
        await message.in_progress()
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_a_queue_that_takes_no_batches_is_taught_to(fresh_url: str, tmp_path: Path, retention: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            streams = one.client.connection.streams
            config = {"name": "QUEUE_orders", "subjects": ["queue.orders", "queue.orders.>"], "retention": retention, "discard": "new"}
            await streams.create_or_update_stream(config | {"max_msgs": 70, "allow_direct": True})
            queue = one.client.queue("orders")
            await asyncio.gather(*(queue.send(n, id=f"k{n}") for n in range(50)))
            assert len({message.headers["Nats-Batch-Id"] for message in await stored(one.client.connection)}) == 1
            assert await queue.capacity() == 70
            await one.deploy(listening("shop", {"name": "orders", "capacity": 70}))
            await one.log.ended(*(run_of("shop", f"k{n}") for n in range(50)))
            async with asyncio.timeout(15):
                while await stored(one.client.connection):
                    await asyncio.sleep(0.01)

    run(test())


def test_a_message_of_anybodys_batch_that_was_for_no_flow_can_be_sent_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("bank", {"subjects": "bank.>"}))
            await there(one.client.connection, "INBOX")
            for number in ("1", "2"):
                headers = {"Nats-Batch-Id": "both", "Nats-Batch-Sequence": number} | ({"Nats-Batch-Commit": "1"} if number == "2" else {})
                await one.client.connection.send("on.shop.created", number.encode(), headers=headers)
            await one.log.until(lambda: len(one.log.letters) == 2, "dead letters")
            await one.deploy(listening("shop", {"subjects": "shop.>"}))
            await one.client.publish("shop.created", 1, id="now")
            await one.log.ended(run_on("shop", "shop.created", "now"))
            dead = (await one.client.dead_letters())[0]
            await one.client.redrive(dead.seq)
            await one.log.ended(run_on("shop", "shop.created", f"redrive-{dead.seq}"))

    run(test())


def test_a_queue_that_is_deleted_and_made_anew_goes_on_with_other_sequences(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 1_000}))
            queue, streams = one.client.queue("orders"), one.client.connection.streams
            for turn in range(3):
                await asyncio.gather(*(queue.send(n, id=f"{turn}-{n}") for n in range(100)))
                await one.log.ended(*(run_of("shop", f"{turn}-{n}") for n in range(100)))
                _, last = await _range(streams)
                await queue.delete()
                await there(one.client.connection, "QUEUE_orders")
                assert (await _range(streams))[0] > last, "what clears the old one cannot reach into the new one"

    run(test())


def test_a_queue_that_many_make_at_the_same_time_is_one_queue(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one, await Connection.open(fresh_url, name="other") as other:
            for name in ("a", "b", "c"):
                makers = [ensure_queue(each, name, 70) for each in (one.client.connection, other) for _ in range(8)]
                await asyncio.gather(*makers, *(one.client.queue(name).send(n, id=f"k{n}") for n in range(50)))
                assert sorted(ids(await stored(one.client.connection, name))) == sorted(f"k{n}" for n in range(50))
                assert await one.client.queue(name).capacity() == 70

    run(test())


async def _range(streams: Streams) -> tuple[int, int]:
    info = await streams.stream_info("QUEUE_orders")
    assert info is not None
    return info["state"]["first_seq"], info["state"]["last_seq"]

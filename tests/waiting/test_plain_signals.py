"""Signals and events from programs that know nothing but NATS: taken in once, whoever dies, or kept with the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.signal_intake import SignalIntake
from jetfleet.broker.deployment import deployed
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import DeadLetter
from jetfleet.schemas.records import EventReceived, SignalReceived

from ..coordinator.keepers import site
from ..fleet.fleets import Fleet, coordinator_process, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until
from .asking import approval, output, pending

TYPED = {"type": "std::wait", "config": {"signal": "count", "schema": {"type": "integer"}}}


async def tell(one: Fleet, subject: str, body: bytes, **headers: str) -> None:
    """Publish as any program would, and have the server say that it is on disk."""
    await one.client.connection.publisher.publish(
        subject, body, id=headers.pop("id", None), headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


async def letters(one: Fleet, count: int) -> list[DeadLetter]:
    await one.log.until(lambda: len(one.log.letters) == count, f"{count} dead letters", 20)
    return one.log.letters


async def nothing_left(connection: Connection) -> None:
    """Wait until every message has been acknowledged, which is what takes it out of the stream."""
    async with asyncio.timeout(15):
        while (await connection.streams.stream_info(subjects.SIGNALS) or {})["state"]["messages"]:
            await asyncio.sleep(0.02)


def test_json_and_msgpack_end_waits_and_one_id_counts_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            child = flow("child", {"wait": {"type": "std::wait", "config": {"signal": "odd name"}}})
            parent = flow("parent", {"sub": {"type": "std::subflow", "config": {"flow": "child"}}})
            await one.deploy(flow("counts", {"a": TYPED, "b": TYPED}), child, parent, approval())
            counts, family, asks = [await one.client.send(name, 1) for name in ("counts", "parent", "ask")]
            await pending(one, 2, kind="signal")
            await pending(one, 1)

            await tell(one, f"signals.{counts}.count", b"5", id="n-1")
            await pending(one, 2, kind="signal")
            await tell(one, f"signals.{counts}.count", b"5", id="n-1")
            packed = {"Content_Type": "application/msgpack"}
            await tell(one, f"signals.{counts}.count", msgspec.msgpack.encode(6), id="n-2", **packed)
            said = await output(one, counts)
            assert (said["input"]["response"], said["response"]) == (5, 6)

            await tell(one, "signals.by.header", b'"yes"', Jetfleet_Run=f"{family}.sub", Jetfleet_Signal="odd name")
            assert (await output(one, family))["response"] == "yes"
            await tell(one, f"signals.{asks}.ok", b'{"decision": "approve", "by": "cron"}')
            assert (await output(one, asks))["by"] == "cron"
            await nothing_left(one.client.connection)
            assert one.log.letters == [] and len(one.log.of(counts, SignalReceived)) == 2

    run(test())


def test_an_event_reaches_all_that_wait_for_it_in_every_partition(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            wait = {"type": "std::wait", "config": {"event": "orders.paid", "correlate": {"id": "${go.order}"}}}
            await one.deploy(flow("pays", {"wait": wait}))
            runs = [await one.client.send("pays", {"order": n % 2}) for n in range(8)]
            await one.log.until(lambda: one.log.begun >= set(runs), "all runs")
            await one.quiet()
            await tell(one, "awaited.orders.paid", b'{"id": 1, "amount": 3}', id="e-1")
            said = [await output(one, id) for id in runs[1::2]]
            assert {each["response"]["amount"] for each in said} == {3}
            await nothing_left(one.client.connection)
            assert [one.open_run(id) is not None for id in runs] == [True, False] * 4
            assert len(one.log.of("", EventReceived)) == 2, "one for each partition"

    run(test())


def test_what_cannot_be_taken_is_kept_with_the_reason_and_can_be_sent_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(flow("counts", {"a": TYPED}))
            over, id = [await one.client.send("counts", n) for n in range(2)]
            await pending(one, 2, kind="signal")
            await one.client.signal(over, "count", 1)
            await one.log.ended(over)
            await tell(one, f"signals.{id}.count", b'"five"')
            await tell(one, f"signals.{over}.count", b"5")
            await tell(one, f"signals.{id}.count", b"{")
            await tell(one, "signals.alone", b"5")
            later = subjects.run_id("counts", "later")
            await one.client.connection.send(f"signals.{later}.count", b"5")  # with no id: it can be sent again at once
            found = {each.code: each for each in await letters(one, 5)}
            assert set(found) == {"SIGNAL_REJECTED", "RUN_ENDED", "UNREADABLE_EVENT", "UNKNOWN_RUN"}
            assert {each.kind for each in found.values()} == {"signal"}
            reasons = {each.reason for each in one.log.letters}
            assert f'run {id} does not take it: signal \'count\': value: "five" is not of type "integer"' in reasons
            assert f"run {over} has completed already" in reasons
            assert len(one.log.of(id, SignalReceived)) == 0, "nothing of it is in the log"
            await nothing_left(one.client.connection)

            letter = next(each for each in await one.client.dead_letters() if each.letter.code == "UNKNOWN_RUN")
            await one.client.send("counts", 9, id="later")
            await one.client.redrive(letter.seq)
            assert (await output(one, later))["response"] == 5
            assert "UNKNOWN_RUN" not in {each.letter.code for each in await one.client.dead_letters()}

    run(test(), 60)


def test_killed_coordinators_lose_no_signal_and_give_none_twice(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0, coordinators=0) as one:
            await one.deploy(flow("counts", {"a": TYPED, "b": TYPED, "c": {"type": "std::wait", "config": {"signal": "end"}}}))
            with coordinator_process(fresh_url, tmp_path / "first") as first:
                runs = [await one.client.send("counts", n) for n in range(10)]
                await pending(one, 10, kind="signal")
                for id in runs:
                    await tell(one, f"signals.{id}.count", b"1", id=f"{id}-1")
                await one.log.until(lambda: any(one.log.of(id, SignalReceived) for id in runs), "the first of them in the log")
                first.kill()  # some are in the log and not acknowledged
            for id in runs:
                await tell(one, f"signals.{id}.count", b"2", id=f"{id}-2")  # nobody is there to take them
            with coordinator_process(fresh_url, tmp_path / "second"):
                await pending(one, 10, kind="signal", name="end")
                await nothing_left(one.client.connection)
                for id in runs:
                    await tell(one, f"signals.{id}.end", b"")
                for id in runs:
                    said = (await output(one, id))["input"]
                    assert {said["response"], said["input"]["response"]} == {1, 2}
            assert one.log.letters == []

    run(test(), 60)


def test_a_deployment_from_before_there_were_signals_gets_their_streams(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0, coordinators=0) as one:
            await _age(one.client.connection)
            await one.coordinator()
            await one.deploy(approval())
            id = await one.client.send("ask", 1)
            (asked,) = await pending(one)
            assert (await one.client.token(asked)).startswith("jfa1.")
            await tell(one, f"signals.{id}.ok", b'{"decision": "reject"}')
            assert (await output(one, id))["decision"] == "reject"

    run(test())


async def _age(connection: Connection) -> None:
    """Make a new deployment look as one of version 4 does."""
    for stream in (subjects.SIGNALS, subjects.APPROVALS):
        await connection.streams.delete_stream(stream)
    info = await connection.streams.stream_info(subjects.FLEET)
    assert info is not None
    config = {**info["config"], "subjects": ["member.>", "lease.>", subjects.TOPOLOGY]}
    await connection.streams.create_or_update_stream(config)
    now = await deployed(connection)
    assert now is not None
    await connection.publisher.publish(subjects.TOPOLOGY, messages.encode(msgspec.structs.replace(now, version=4)))


def test_what_was_not_on_disk_when_its_coordinator_stopped_is_delivered_again(fresh_url: str) -> None:
    async def test() -> None:
        async with site(fresh_url) as around:
            await around.connection.streams.delete_stream(subjects.wal_stream(0))  # nothing can be stored
            intake = SignalIntake(around)
            await intake.start()
            await around.connection.publisher.publish("awaited.shipped", b"1")
            await until(lambda: around.outbox.backlog == 1, "the event on its way")
            await intake.stop()
            await around.outbox.close()
            stopped = around.outbox.backlog
            info = await around.connection.streams.stream_info(subjects.SIGNALS)
            assert (stopped, info and info["state"]["messages"]) == (0, 1)

    run(test())

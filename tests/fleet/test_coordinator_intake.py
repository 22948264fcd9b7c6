"""Events on their way to runs: each key is one run, whatever is repeated, and what can be no run is kept with the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import Client
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import decode, encode
from jetfleet.schemas.records import RunStarted

from .fleets import Fleet, chain, fleet
from .running import run
from .trouble import until


async def publish(client: Client, subject: str, data: bytes, **headers: str) -> None:
    """An event as a program in another language publishes it."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    await client.connection.publisher.publish(subject, data, id=sent.pop("Nats-Msg-Id", None), headers=sent)


async def publish_batch(client: Client, subject: str, *events: BatchedEvent) -> None:
    await publish(client, subject, messages.encode_all(events), Jetfleet_Batch="1")


async def events_left(one: Fleet) -> int:
    info = await one.client.connection.streams.stream_info(subjects.EVENTS)
    assert info is not None
    return int(info["state"]["messages"])


async def all_taken(one: Fleet) -> None:
    """Wait until no event is left, and everything that came of them has been taken in."""
    async with asyncio.timeout(15):
        while await events_left(one):
            await asyncio.sleep(0.01)
    await one.quiet()


def test_events_with_one_key_are_one_run_also_in_a_batch_and_after_it_ended(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            same = BatchedEvent("order-7", encode({"n": 1}))
            await publish_batch(one.client, "events.orders.go", same, same, BatchedEvent("order-8", encode({"n": 2})), same)
            id = subjects.run_id("orders", "order-7")
            await one.log.ended(id, subjects.run_id("orders", "order-8"))
            await publish_batch(one.client, "events.orders.go", same)
            await all_taken(one)
            assert len(one.log.of(id, RunStarted)) == 4, "the log has every input"
            assert len(one.log.begun) == 2 and one.coordinators[0].counters.runs_started == 2
            assert len([part for part in one.log.parts[id] if part.summary is not None]) == 1
            assert one.coordinators[0].counters.records_ignored == 3

    run(test())


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "crashed"])
def test_a_key_is_remembered_by_the_next_coordinator_whether_its_run_is_open_or_ended(
    fresh_url: str, tmp_path: Path, orderly: bool
) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"), chain("held", "f.gated"))
            ended = [BatchedEvent(f"k{n}", encode(n)) for n in range(20)]
            open = BatchedEvent("h", encode({"gate": str(gate)}))
            await publish_batch(one.client, "events.orders.go", *ended)
            await publish_batch(one.client, "events.held.go", open)
            await one.log.ended(*(subjects.run_id("orders", event.key) for event in ended))
            await all_taken(one)
            await (one.leave if orderly else one.crash)(one.coordinators[0])
            await publish_batch(one.client, "events.orders.go", *ended)
            await publish_batch(one.client, "events.held.go", open)
            second = await one.coordinator()
            await all_taken(one)
            gate.touch()
            held = subjects.run_id("held", "h")
            await one.log.ended(held)
            await one.quiet()
            assert second.counters.runs_started == (0 if orderly else 21), "after a crash the WAL is folded again, and nothing more"
            assert len(one.log.begun) == 21
            for id in [held, *(subjects.run_id("orders", event.key) for event in ended)]:
                assert len({part.summary for part in one.log.parts[id] if part.summary is not None}) == 1
                assert len(one.log.journal(id)) in (2, 4), "RunStarted stands in a journal once"

    run(test())


def test_an_event_of_a_flow_that_is_not_deployed_waits_until_it_is(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await publish(one.client, "events.later.go", b'{"n": 1}', Nats_Msg_Id="early")
            await publish(one.client, "events.later", b'{"n": 2}', Nats_Msg_Id="early-too")
            await one.deploy(chain("later"))
            await one.log.ended(subjects.run_id("later", "early"), subjects.run_id("later", "early-too"))
            await all_taken(one)
            assert one.log.letters == []

    run(test())


def test_an_undeployed_flow_starts_no_run_until_it_is_deployed_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"), chain("others"))
            await one.log.ended(await one.client.send("orders", 1))
            assert await one.client.undeploy("orders")
            await until(lambda: "orders" not in one.coordinators[0].intake.waiting(), "the coordinator to know")
            await publish(one.client, "events.orders.go", b"2", Nats_Msg_Id="k")
            await one.log.ended(await one.client.send("others", 1))
            assert subjects.run_id("orders", "k") not in one.log.records and await events_left(one) == 1
            await one.deploy(chain("orders"))
            await one.log.ended(subjects.run_id("orders", "k"))

    run(test())


def test_runs_of_an_old_version_finish_on_its_plan(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.gated", "f.echo") | {"version": "1.0"})
            old = await one.client.send("orders", {"gate": str(gate)})
            await until(lambda: one.open_run(old) is not None, "the old run")
            await one.deploy(chain("orders", "f.echo") | {"version": "2.0"})
            new = await one.client.send("orders", {"n": 1})
            (summary,) = await one.log.ended(new)
            assert (summary.version, summary.records) == ("2.0", 2)
            await one.leave(one.coordinators[0])
            await one.coordinator()
            gate.touch()
            (summary,) = await one.log.ended(old)
            assert (summary.status, summary.version, summary.records) == ("completed", "1.0", 3)

    run(test())


INPUTS = {"type": "object", "required": ["id"]}
GUARDED = chain("orders", inputs=INPUTS) | {
    "triggers": [{"id": "go", "type": "manual"}, {"id": "off", "type": "manual", "enabled": False}],
}


@pytest.mark.parametrize(
    ("subject", "data", "code", "says"),
    [
        ("events.orders.go", b'{"n": 1}', "EVENT_REJECTED", "id"),
        ("events.orders.nobody", b'{"id": 1}', "UNKNOWN_TRIGGER", "no trigger 'nobody'"),
        ("events.orders.off", b'{"id": 1}', "UNKNOWN_TRIGGER", "disabled"),
        ("events.orders.go", b'{"id": ', "UNREADABLE_EVENT", "no JSON"),
        ("events.orders.go", b'{"id": "' + b"x" * PAYLOAD_INLINE_MAX_BYTES + b'"}', "EVENT_REJECTED", "bytes"),
        ("events.orders.go", b"\xc1" * (8 << 20), "UNREADABLE_EVENT", "no JSON"),
    ],
    ids=["inputs", "unknown trigger", "disabled trigger", "unreadable", "too large", "unreadable and as large as a message"],
)
def test_an_event_that_can_be_no_run_is_kept_with_the_reason(
    fresh_url: str, tmp_path: Path, subject: str, data: bytes, code: str, says: str
) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(GUARDED)
            room = one.client.connection.max_payload - 200
            await publish(one.client, subject, data[:room], Nats_Msg_Id="bad", traceparent="00-aa-bb-01")
            await one.client.send("orders", {"id": 2}, id="good", trigger="go")
            good = subjects.run_id("orders", "good")
            await one.log.until(lambda: bool(one.log.letters) and good in one.log.begun, "a letter, and the run of the good event")
            await all_taken(one)
            (letter,) = one.log.letters
            assert (letter.kind, letter.code, letter.subject) == ("event", code, subject)
            assert says in letter.reason and data.startswith(letter.data) and letter.headers["Nats-Msg-Id"] == "bad"
            assert one.log.begun == {good} and one.coordinators[0].counters.dead_letters == 1

    run(test())


def test_a_batch_with_one_bad_event_keeps_the_others_going(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", inputs=INPUTS))
            events: list[Any] = [{"id": 1}, {"no": 1}, {"id": 3}]
            await publish_batch(one.client, "events.orders.go", *(BatchedEvent(f"b{n}", encode(each)) for n, each in enumerate(events)))
            summaries = await one.log.ended(*(subjects.run_id("orders", key) for key in ("b0", "b2")))
            assert [decode(summary.output) for summary in summaries] == [{"id": 1}, {"id": 3}]
            await all_taken(one)
            assert [letter.code for letter in one.log.letters] == ["EVENT_REJECTED"]

    run(test())


def test_an_event_nested_too_deeply_is_put_aside_and_holds_nothing_up(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", inputs={"type": ["array", "integer"]}))
            for depth in (700, 900):
                await publish(one.client, "events.orders.go", b"[" * depth + b"]" * depth, Nats_Msg_Id=f"deep {depth}")
            await publish(one.client, "events.orders.go", b"1", Nats_Msg_Id="flat")
            await all_taken(one)
            assert subjects.run_id("orders", "flat") in one.log.begun
            aside = {letter.headers["Nats-Msg-Id"] for letter in one.log.letters}
            begun = {key for key in ("deep 700", "deep 900") if subjects.run_id("orders", key) in one.log.begun}
            assert aside | begun == {"deep 700", "deep 900"} and not aside & begun
            assert {letter.code for letter in one.log.letters} <= {"EVENT_REJECTED", "UNREADABLE_EVENT"}

    run(test())


def test_a_flow_whose_events_cannot_be_taken_keeps_no_other_flow_from_its_own(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("first"), chain("last"))
            await one.leave(one.coordinators[0])
            streams = one.client.connection.streams
            config = (await streams.consumer_info(subjects.EVENTS, "flow-first") or {})["config"]
            await streams.delete_consumer(subjects.EVENTS, "flow-first")
            foreign = config | {"durable_name": "foreign", "name": "foreign", "filter_subjects": ["events.first.>"]}
            await streams.create_or_update_consumer(subjects.EVENTS, foreign)
            await one.coordinator()
            await one.client.send("last", 1, id="k")
            await until(lambda: subjects.run_id("last", "k") in one.log.begun, "a run of the other flow")
            await streams.delete_consumer(subjects.EVENTS, "foreign")
            await one.client.send("first", 1, id="k")
            await until(lambda: subjects.run_id("first", "k") in one.log.begun, "a run of the flow when it can be")

    run(test())


def test_events_that_a_coordinator_without_partitions_has_in_memory_go_to_another(fresh_url: str, tmp_path: Path) -> None:
    """As when it had asked for them while it had some."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, coordinators=2) as one:
            await one.deploy(chain("orders"))
            idle, busy = sorted(one.coordinators, key=lambda each: len(each.owners))
            assert not idle.owners and busy.owners
            room_of_busy, idle.admission.room = busy.admission.room, lambda plan: 1  # type: ignore[method-assign]
            busy.admission.room = lambda plan: 0  # type: ignore[method-assign]

            def has_asked() -> bool:
                idle.intake.wake("orders")
                flow = idle.intake._flows.get("orders")
                return flow is not None and any(pull._asked for pull in flow._pulls.values())

            await until(has_asked, "it asks for an event")
            idle.admission.room = lambda plan: 0  # type: ignore[method-assign]  # what it says without partitions
            runs = await asyncio.gather(*one.ids("orders", 1))
            while not idle.intake.waiting()["orders"]:  # the server gives them to both in turn
                runs.append(await one.client.send("orders", {"n": 1}))
            busy.admission.room = room_of_busy  # type: ignore[method-assign]
            busy.intake.wake("orders")
            await one.log.ended(*runs)

    run(test())

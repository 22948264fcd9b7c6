"""Events that others publish for a trigger that is paused wait on the server; those of a disabled one are kept with the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jetfleet.broker.cli import checks
from jetfleet.broker.cli.checkup import examine
from jetfleet.broker.coordinator import stray_events
from jetfleet.broker.coordinator.ended_runs import EndedRuns
from jetfleet.broker.deployment import part_flow_consumer
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import encode

from .fleets import Fleet, chain, fleet
from .running import run
from .trouble import until

TWO = chain("orders") | {
    "triggers": [{"id": "go", "type": "manual"}, {"id": "desk", "type": "manual"}],
    "edges": [{"from": "go", "to": "n0"}, {"from": "desk", "to": "n0"}, {"from": "n0", "to": "n1"}, {"from": "n1", "to": "n2"}],
}


async def publish(one: Fleet, subject: str, *keys: str) -> list[str]:
    """An event for each key, as a program in another language publishes them; the ids of their runs."""
    flow = subject.split(".")[1]
    events = [BatchedEvent(key, encode({"n": key})) for key in keys]
    await one.client.connection.publisher.publish(subject, messages.encode_all(events), headers={"Jetfleet-Batch": "1"})
    return [subjects.run_id(flow, key) for key in keys]


async def under_way(one: Fleet, flow: str, trigger: str) -> int | None:
    """How many events the trigger's own consumer has given out; None: it has none."""
    info = await one.client.connection.streams.consumer_info(subjects.EVENTS, f"flow-{flow}@{trigger}")
    return None if info is None else int(info["num_ack_pending"])


async def events_stored(one: Fleet) -> tuple[int, int]:
    """How many messages were ever published on EVENTS, and how many are there now."""
    info = await one.client.connection.streams.stream_info(subjects.EVENTS)
    assert info is not None
    return info["state"]["last_seq"], info["state"]["messages"]


async def paused(one: Fleet, flow: str, trigger: str) -> None:
    """Pause it; returns when no coordinator asks for its events."""
    await one.client.pause_trigger(flow, trigger)
    intakes = [each.intake._flows[flow] for each in one.coordinators]
    await until(lambda: all(trigger in each._known and trigger not in each._pulls for each in intakes), "coordinators to know")
    assert await under_way(one, flow, trigger) == 0


def test_events_of_a_paused_trigger_wait_while_those_of_the_other_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(TWO)
            await paused(one, "orders", "go")
            held = [id for n in range(300) for id in await publish(one, "events.orders.go", f"held-{n}")]
            going = await publish(one, "events.orders.desk", *(f"going-{n}" for n in range(20)))
            await one.log.ended(*going)
            assert one.log.begun == set(going), "the consumer has gone past those that are held"
            assert await under_way(one, "orders", "go") == 0, "they were not even delivered"
            await one.deploy(TWO | {"version": "2.0"})
            await one.log.ended(*await publish(one, "events.orders.desk", "later"))
            assert not one.log.begun & set(held), "a deployment resumes nothing"
            await one.client.resume_trigger("orders", "go")
            await one.log.ended(*held)
            await one.quiet()
            assert sum(each.counters.runs_started for each in one.coordinators) == 321, "each of them once"

    run(test(), 60)


def test_a_flow_whose_only_trigger_is_paused_starts_nothing_through_a_change_of_coordinators(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"), chain("others"))
            await paused(one, "orders", "go")
            held = await publish(one, "events.orders", "bare") + await publish(one, "events.orders.go", "named")
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await one.log.ended(await one.client.send("others", 1))
            assert not one.log.begun & set(held)
            await one.client.resume_trigger("orders", "go")
            await one.log.ended(*held)

    run(test(), 60)


def test_events_that_wait_for_room_when_their_trigger_is_paused_are_given_back(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            gate = tmp_path / "gate"
            limited = chain("orders", "f.gated", settings={"max_concurrent_executions": 1})
            await one.deploy(limited)
            first = await one.client.send("orders", {"gate": str(gate)}, id="first")
            await until(lambda: one.open_run(first) is not None, "the first run")
            event = BatchedEvent("second", encode({"gate": str(gate)}))
            intake = one.coordinators[0].intake
            batch = messages.encode_all([event, BatchedEvent("third", encode({"gate": str(gate)}))])
            await one.client.connection.publisher.publish("events.orders.go", batch, headers={"Jetfleet-Batch": "1"})
            await paused(one, "orders", "go")
            gate.touch()
            await one.log.ended(first)
            await until(lambda: intake.waiting() == {"orders": 0}, "events given back")
            assert one.log.begun == {first}
            await one.client.resume_trigger("orders", "go")
            await one.log.ended(*(subjects.run_id("orders", key) for key in ("second", "third")))
            await one.quiet()
            assert one.coordinators[0].counters.runs_started == 3

    run(test(), 60)


def test_of_a_message_that_is_paused_halfway_only_the_rest_waits_however_long(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            gate, (coordinator,) = tmp_path / "gate", one.coordinators
            await one.deploy(chain("orders", "f.gated", settings={"max_concurrent_executions": 1}))
            events = [BatchedEvent(key, encode({"gate": str(gate)})) for key in ("first", "second", "third")]
            await one.client.connection.publisher.publish(
                "events.orders.go", messages.encode_all(events), id="all", headers={"Jetfleet-Batch": "1"}
            )
            first, *others = (subjects.run_id("orders", event.key) for event in events)
            await until(lambda: one.open_run(first) is not None, "the first run")
            await paused(one, "orders", "go")
            gate.touch()
            await one.log.ended(first)
            while await events_stored(one) != (2, 1):  # the rest in the place of all
                await asyncio.sleep(0.01)
            for owner in coordinator.owners.values():
                owner.partition.ended = EndedRuns(1_000)  # as after more than an hour
            await one.client.resume_trigger("orders", "go")
            await one.log.ended(*others)
            await one.quiet()
            assert coordinator.counters.runs_started == 3, "the first one is not begun again"

    run(test(), 60)


def test_an_event_of_a_trigger_that_somebody_disabled_becomes_a_dead_letter(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(TWO)
            await one.client.disable_trigger("orders", "go")
            await until(lambda: one.coordinators[0].flows.trigger_state("orders", "go").state == "disabled", "the coordinator to know")
            await publish(one, "events.orders.go", "off")
            await one.log.ended(*await publish(one, "events.orders.desk", "on"))
            await one.log.until(lambda: bool(one.log.letters), "a dead letter")
            (letter,) = one.log.letters
            assert (letter.code, letter.subject) == ("UNKNOWN_TRIGGER", "events.orders.go") and "disabled" in letter.reason

    run(test(), 30)


def test_an_event_of_a_trigger_that_the_flow_does_not_have_becomes_a_dead_letter_also_after_a_pause(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stray_events, "LOOK_S", 0.1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(TWO, chain("others"))
            await one.client.pause_trigger("orders", "desk")
            await paused(one, "orders", "go")
            await one.client.resume_trigger("orders", "desk")
            held = await publish(one, "events.orders.go", "held")
            typos = ["events.orders.gooo", "events.orders.go.eu"]
            for subject in typos:
                await publish(one, subject, "typo")
            await one.log.until(lambda: len(one.log.letters) == 2, "dead letters")
            assert {(letter.code, letter.subject) for letter in one.log.letters} == {("UNKNOWN_TRIGGER", subject) for subject in typos}
            assert {"go" in letter.reason.partition(";")[2] for letter in one.log.letters} == {True}, "it says which ones there are"
            await until(lambda: one.coordinators[0].counters.dead_letters == 2, "events that were deleted")
            streams = one.client.connection.streams
            assert await streams.subjects(subjects.EVENTS, "events.>") == {"events.orders.go": 1}, "a paused one's is not among them"
            await publish(one, "events.orders.new", "early")
            await publish(one, "events.nobody.go", "of a flow that is not deployed")
            await one.log.until(lambda: len(one.log.letters) == 3, "a dead letter")
            await one.deploy(TWO | {"triggers": [*TWO["triggers"], {"id": "new", "type": "manual"}]})
            await one.log.ended(*await publish(one, "events.orders.new", "late"))
            await one.client.resume_trigger("orders", "go")
            await one.log.ended(*held)
            assert await streams.subjects(subjects.EVENTS, "events.>") == {"events.nobody.go": 1}
            assert len(one.log.letters) == 3

    run(test(), 60)


def test_the_doctor_tells_of_events_of_unknown_triggers_and_of_no_others(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await one.deploy(TWO)
            await part_flow_consumer(one.client.connection, "orders", ["go", "desk"])
            for subject in ("events.orders.go", "events.orders.typo", "events.orders"):
                await publish(one, subject, "waits")
            await one.client.flows.caught_up()
            says = [finding.says for finding in checks.backlog(await examine(one.client, tmp_path))]
            assert says[0] == "3 messages of events wait"
            (unknown,) = says[1:]
            assert unknown.startswith("1 on events.orders.typo are for a trigger that flow orders has not (it has: go, desk)")

    run(test())


def test_a_letter_that_was_written_before_its_event_could_be_deleted_is_not_written_twice(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(TWO)
            await paused(one, "orders", "go")
            await publish(one, "events.orders.typo", "typo")
            (site,) = one.coordinators
            looks = [stray_events.bury_strays(site) for _ in range(3)]  # as of owners that follow each other
            await asyncio.gather(*looks, return_exceptions=True)
            await one.log.until(lambda: bool(one.log.letters), "a dead letter")
            info = await one.client.connection.streams.stream_info(subjects.DEAD)
            assert info is not None and info["state"]["messages"] == 1

    run(test(), 30)

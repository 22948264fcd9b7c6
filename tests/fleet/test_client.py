"""The client of a fleet: what is checked before anything is published, results that cannot be missed, steering, dead letters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker import Client
from jetfleet.broker.api import NotEnded, SentLately, UnknownFlow, UnknownRun
from jetfleet.broker.api.endings import Endings
from jetfleet.broker.read_model.errors import ReaderAbsent
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.errors import EventRejected, InvalidFlow, UnencodableValue, UsageError
from jetfleet.schemas.messages import DeadLetter, Ended
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import RunStarted, SignalReceived

from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import until

WAITING = flow("waiting", {"answer": {"type": "std::wait", "config": {"signal": "go"}}})
TWO_TRIGGERS = """
name: two
triggers: [{id: left, type: manual}, {id: right, type: manual}, {id: off, type: manual, enabled: false}]
inputs: {type: object, required: [n], properties: {n: {type: integer}}}
nodes: {a: {type: std::log, config: {message: hello}}}
edges: [{from: left, to: a}, {from: right, to: a}, {from: off, to: a}]
"""


async def events(client: Client) -> int:
    info = await client.connection.streams.stream_info(subjects.EVENTS)
    assert info is not None
    return int(info["state"]["last_seq"])


async def notice(client: Client, ended: Ended) -> None:
    partition = subjects.partition_of(ended.run, client.partitions)
    await client.connection.send(subjects.ended(partition), messages.encode_all([ended]))


# --- deploying


def test_a_flow_is_deployed_from_a_file_a_text_or_data_and_counts_as_the_same(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            file = tmp_path / "two.yaml"
            file.write_text(TWO_TRIGGERS)
            first = await client.deploy(file)
            again = await client.deploy(TWO_TRIGGERS)
            assert (first.name, first.changed, again.changed, again.digest) == ("two", True, False, first.digest)
            data = await client.deploy(chain("orders"))
            assert data.changed
            assert client.flows.names() == ["orders", "two"], "what this client deployed it knows at once"

    run(test())


def test_a_flow_with_a_node_that_nothing_leads_to_is_not_deployed(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            with pytest.raises(InvalidFlow) as raised:
                await client.deploy(
                    {
                        "name": "lost",
                        "triggers": [{"id": "go", "type": "manual"}],
                        "nodes": {"a": {"type": "f.echo"}, "b": {"type": "f.echo"}},
                        "edges": [{"from": "go", "to": "a"}],
                    }
                )
            assert {problem.code for problem in raised.value.problems} & {"ORPHANED_NODE", "UNREACHABLE_NODE"}
            assert client.flows.names() == []

    run(test())


# --- starting


@pytest.mark.parametrize(
    ("flow", "payload", "trigger", "error"),
    [
        ("three", {"n": 1}, None, UnknownFlow),
        ("two", {"n": 1}, None, UsageError),
        ("two", {"n": 1}, "middle", UsageError),
        ("two", {"n": 1}, "off", UsageError),
        ("two", {"n": "one"}, "left", EventRejected),
        ("two", {"n": 1, "what": object()}, "left", (UnencodableValue, EventRejected)),
    ],
)
def test_what_is_wrong_with_an_event_is_said_before_anything_is_published(
    fresh_url: str, flow: str, payload: Any, trigger: str | None, error: Any
) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(TWO_TRIGGERS)
            with pytest.raises(error):
                await client.start(flow, payload, trigger=trigger)
            assert await events(client) == 0

    run(test())


def test_an_event_goes_to_its_trigger_and_its_key_settles_the_run(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(TWO_TRIGGERS)
            first = await client.start("two", {"n": 1}, id="k", trigger="right")
            again = await client.send("two", {"n": 1}, id="k", trigger="right")
            assert first.id == again == subjects.run_id("two", "k")
            stored = await client.connection.streams.last(subjects.EVENTS, subjects.event("two", "right"))
            assert stored is not None and stored.headers["Jetfleet-Batch"] == "1"

    run(test())


def test_many_events_at_a_time_leave_in_few_messages(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            runs = await asyncio.gather(*(client.send("orders", {"n": n}) for n in range(2_000)))
            assert len(set(runs)) == 2_000
            assert await events(client) < 100

    run(test())


# --- results


def test_runs_end_with_their_output_or_their_error(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"), chain("picky", "f.picky"))
            well, badly = await asyncio.gather(
                one.client.run("orders", {"n": 1}, timeout_s=15), one.client.run("picky", {"fails": 1}, timeout_s=15)
            )
            assert (well.status, well.output, well.error) == ("completed", {"n": 1}, None)
            assert (badly.completed, badly.output) == (False, None)
            assert badly.error is not None and badly.error.type == "picky"

    run(test())


def test_a_result_comes_also_to_those_who_start_the_same_run_again_after_its_end(fresh_url: str, tmp_path: Path) -> None:
    """The second start makes no run and so no notice: the client asks."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders"))
            first = await one.client.run("orders", {"n": 1}, id="k", timeout_s=15)
            async with await Client.connect(fresh_url) as other:
                again = await other.run("orders", {"n": 1}, id="k", timeout_s=15)
                looked_at = await (await other.handle(first.run_id)).result(15)
            assert again.output == looked_at.output == first.output

    run(test())


def test_a_run_that_does_not_end_in_time_goes_on(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(WAITING)
            handle = await one.client.start("waiting")
            with pytest.raises(NotEnded, match="goes on"):
                await handle.result(0.2)
            await known(one, handle.id)
            await handle.signal("go", 7)
            assert (await handle.result(15)).completed

    run(test())


def test_one_who_gives_up_waiting_does_not_take_the_result_from_the_others(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            handle = await client.start("orders", {})
            patient = asyncio.create_task(handle.result())
            impatient = asyncio.create_task(handle.result())
            await asyncio.sleep(0)
            impatient.cancel()
            await notice(client, Ended(handle.id, "completed", 5, encode("done")))
            assert (await patient).output == "done"
            assert (await handle.result()).output == "done", "also for who asks later"

    run(test())


def test_a_large_output_without_a_reader_is_an_error_and_no_endless_wait(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            handle = await client.start("orders", {})
            waiting = asyncio.create_task(handle.result(15))
            await asyncio.sleep(0)
            await notice(client, Ended(handle.id, "completed", 5))
            with pytest.raises(ReaderAbsent):
                await waiting

    run(test())


def test_notices_that_cannot_be_read_harm_nobody(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            handle = await client.start("orders", {})
            subject = subjects.ended(subjects.partition_of(handle.id, client.partitions))
            await client.connection.send(subject, b"\xc1 no msgpack")
            newer = encode([handle.id, "completed", 5, encode("done"), None, 0, "a field of tomorrow"])
            await client.connection.send(subject, messages.join([encode(["strange"]), newer]))
            assert (await handle.result(15)).output == "done"

    run(test())


def test_what_nobody_is_interested_in_any_more_is_forgotten(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            handles = [await client.start("orders", {}) for _ in range(3)]
            endings: Endings = client._endings
            assert len(endings._endings) == 3
            del handles[1:]
            assert len(endings._endings) == 1

    run(test())


# --- looking and steering


async def known(one: Fleet, id: str) -> None:
    await until(lambda: one.open_run(id) is not None, f"run {id} to begin")


def test_a_run_is_paused_resumed_signalled_cancelled_and_killed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(WAITING)
            first, second, third = [await one.client.start("waiting", n) for n in range(3)]
            for handle in (first, second, third):
                await known(one, handle.id)
            await first.pause("lunch")
            await until(lambda: paused(one, first.id), "the pause")
            assert (await first.show()).status == "paused"
            await first.signal("go", "yes")
            await first.resume()
            await second.cancel("no longer needed")
            await third.kill()
            assert (await first.result(15)).completed
            assert [(await handle.result(15)).status for handle in (second, third)] == ["cancelled", "killed"]

    run(test())


def paused(one: Fleet, id: str) -> bool:
    state = one.open_run(id)
    return state is not None and state.paused


def test_an_open_run_is_shown_with_what_it_waits_for_and_its_journal(fresh_url: str, tmp_path: Path) -> None:
    """The owner has all of it: no reader is asked."""

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(WAITING)
            handle = await one.client.start("waiting", {"n": 1})
            await known(one, handle.id)
            view = await handle.look()
            assert view is not None and [wait[:3] for wait in view.blocked] == [("answer", "signal", "go")]
            await handle.signal("other", 1)
            await one.quiet()
            shown = await handle.show()
            assert shown.nodes()["answer"].status == "waiting"
            assert [type(record) for record in await handle.history()] == [RunStarted, SignalReceived]

    run(test())


def test_a_run_that_never_was_is_unknown_where_somebody_can_tell(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            assert await one.client.look("nothing-1") is None
            assert await one.client.outcome("nothing-1") is None
            with pytest.raises((UnknownRun, ReaderAbsent)):
                await one.client.show("nothing-1")

    run(test())


def test_an_event_reaches_all_that_wait_for_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("listening", {"answer": {"type": "std::wait", "config": {"event": "price"}}}))
            handles = [await one.client.start("listening", n) for n in range(6)]
            for handle in handles:
                await known(one, handle.id)
            await one.client.event("price", 12)
            assert {(await handle.result(15)).status for handle in handles} == {"completed"}

    run(test())


# --- dead letters


async def bury(client: Client, letter: DeadLetter) -> int:
    return (await client.connection.publisher.publish(subjects.dead(letter.kind), messages.encode(letter))).seq


def test_a_dead_letter_is_sent_again_as_it_was_and_leaves_the_list(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            event = json.dumps({"n": 1}).encode()
            letter = DeadLetter("event", "EVENT_REJECTED", "no", "events.two.left", event, 7, {"Nats-Msg-Id": "k", "X-Own": "1"})
            seq = await bury(client, letter)
            assert [(each.seq, each.letter) for each in await client.dead_letters()] == [(seq, letter)]
            await client.redrive(seq)
            stored = await client.connection.streams.last(subjects.EVENTS, "events.two.left")
            assert stored is not None
            assert (stored.data, stored.headers["Nats-Msg-Id"], stored.headers["X-Own"]) == (event, "k", "1")
            assert await client.dead_letters() == []

    run(test())


def test_a_letter_that_the_server_would_drop_as_a_duplicate_stays(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.connection.publisher.publish("events.two.left", b"{}", id="k")
            seq = await bury(client, DeadLetter("event", "EVENT_REJECTED", "no", "events.two.left", b"{}", 7, {"Nats-Msg-Id": "k"}))
            with pytest.raises(SentLately):
                await client.redrive(seq)
            assert [letter.seq for letter in await client.dead_letters()] == [seq]

    run(test())


def test_letters_that_cannot_be_read_are_listed_and_not_sent_again(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            seq = (await client.connection.publisher.publish(subjects.dead("event"), b"\xc1")).seq
            assert [letter.letter.kind for letter in await client.dead_letters()] == ["unknown"]
            for number in (seq, seq + 1):
                with pytest.raises(UsageError):
                    await client.redrive(number)

    run(test())


def test_events_of_flows_that_are_not_deployed_are_counted(fresh_url: str) -> None:
    async def test() -> None:
        async with await Client.connect(fresh_url) as client:
            await client.deploy(chain("orders"))
            for subject in ("events.later.api", "events.later.api", "events.never", "events.orders.go"):
                await client.connection.publisher.publish(subject, b"{}")
            assert await client.waiting_events() == {"events.later.api": 2, "events.never": 1}

    run(test())

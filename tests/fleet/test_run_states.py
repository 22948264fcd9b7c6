"""Which runs are over: what owners answer, and what those make of it who free payloads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from jetfleet.broker.coordinator.ended_runs import EndedRuns
from jetfleet.broker.coordinator.object_keeping import keep_objects
from jetfleet.broker.objects.pins import pin_until
from jetfleet.broker.payloads.run_states import FORGOTTEN_AFTER_S, OPEN, OVER, UNKNOWN, RunStates
from jetfleet.broker.topology import streams
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import Completion
from jetfleet.schemas.ref import Ref

from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import until

PARTITIONS = 2


async def answers(one: Fleet, *runs: str) -> list[int]:
    """What the owners say of these runs."""
    found = []
    for id in runs:
        subject = subjects.run_states(subjects.partition_of(id, PARTITIONS))
        found += msgspec.msgpack.decode((await one.client.connection.request(subject, encode([id]))).data, type=list[int])
    return found


async def complete(one: Fleet, id: str, value: object = None, node: int = 0) -> None:
    """A node of the run is done."""
    await until(lambda: one.open_run(id) is not None, "the run")
    record = Completion(id, 0, (node,), 1, output=encode(value))
    subject = subjects.wal(subjects.partition_of(id, PARTITIONS))
    await one.client.connection.publisher.publish(subject, messages.encode_all([record]))


async def over_at_last(states: RunStates, runs: set[str]) -> None:
    async with asyncio.timeout(15):
        while await states.over(runs) != runs:
            await asyncio.sleep(0.01)


def history() -> dict[str, object]:
    (stream,) = [stream for stream in streams(PARTITIONS) if stream.name == subjects.HISTORY]
    return stream.config(1, 1 << 30)


def test_a_run_is_unknown_then_open_then_over(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            states = RunStates(one.client.connection, PARTITIONS)
            id = subjects.run_id("orders", "k")
            assert await answers(one, id) == [UNKNOWN]
            assert await one.client.send("orders", 1, id="k") == id
            await until(lambda: one.open_run(id) is not None, "the run")
            assert await answers(one, id) == [OPEN] and await states.over({id}) == set()
            await complete(one, id)
            await one.log.ended(id)
            await one.quiet()
            assert await answers(one, id) == [OVER] and await states.over({id}) == {id}

    run(test())


def test_what_is_asked_about_many_runs_is_answered_for_each(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            ids = await asyncio.gather(*one.ids("orders", 30))
            await asyncio.gather(*(complete(one, id) for id in ids[:10]))
            await one.log.ended(*ids[:10])
            states = RunStates(one.client.connection, PARTITIONS)
            await over_at_last(states, set(ids[:10]))
            others = {f"nobody-{n}" for n in range(5_000)}
            assert await states.over({*ids, *others}) == set(ids[:10])

    run(test())


def test_an_answer_knows_everything_that_was_in_the_log_when_it_was_asked_for(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            for number in range(20):
                id = await one.client.send("orders", number)
                await one.log.until(lambda id=id: id in one.log.begun, "it stands in the log")  # type: ignore[misc]
                assert await answers(one, id) == [OPEN]

    run(test())


def test_a_run_is_not_over_before_its_journal_is_in_the_history(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            id = await one.client.send("orders", 1)
            await until(lambda: one.open_run(id) is not None, "the run")
            await one.client.connection.streams.delete_stream(subjects.HISTORY)
            await complete(one, id)
            await until(lambda: one.open_run(id) is None, "its end")
            states = RunStates(one.client.connection, PARTITIONS)
            assert await answers(one, id) == [OPEN] and await states.over({id}) == set()
            await one.client.connection.streams.create_or_update_stream(history())
            await over_at_last(states, {id})
            assert await answers(one, id) == [OVER]

    run(test())


def test_the_next_owner_knows_which_runs_are_over(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            open_one, ended = await one.client.send("orders", 1, id="a"), await one.client.send("orders", 2, id="b")
            await complete(one, ended)
            await one.log.ended(ended)
            await one.leave(one.coordinators[0])
            states = RunStates(one.client.connection, PARTITIONS)
            assert await states.over({open_one, ended}) == set(), "nobody answers, so nobody knows"
            await one.coordinator()
            await over_at_last(states, {ended})
            assert await answers(one, open_one) == [OPEN]

    run(test())


def test_a_run_that_ended_long_ago_is_over_when_it_has_been_unknown_for_an_hour(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        now = 1_000.0
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            id = await one.client.send("orders", 1)
            await complete(one, id)
            await one.log.ended(id)
            await one.quiet()
            for owner in one.coordinators[0].owners.values():
                assert owner.partition is not None
                owner.partition.ended = EndedRuns(10)  # as after an hour
            states = RunStates(one.client.connection, PARTITIONS, lambda: now)
            assert await answers(one, id) == [UNKNOWN] and await states.over({id}) == set()
            now += FORGOTTEN_AFTER_S / 2
            assert await states.over({id}) == set()
            now += FORGOTTEN_AFTER_S / 2
            assert await states.over({id}) == {id}

    run(test())


def test_a_run_that_begins_late_is_not_taken_for_forgotten(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        now = 1_000.0
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            states = RunStates(one.client.connection, PARTITIONS, lambda: now)
            id = subjects.run_id("orders", "late")
            assert await states.over({id}) == set()
            now += FORGOTTEN_AFTER_S - 1
            await one.client.send("orders", 1, id="late")
            await until(lambda: one.open_run(id) is not None, "the run")
            now += 2
            assert await states.over({id}) == set()

    run(test())


def test_a_run_whose_event_waits_for_longer_than_an_hour_is_not_taken_for_forgotten(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        passed_s = 0.0
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            await one.client.pause_trigger("orders", "go")
            waiting = await one.client.send("orders", 1, id="held")
            never = subjects.run_id("others", "never published")
            states = RunStates(
                one.client.connection, PARTITIONS, lambda: 1_000.0 + passed_s, lambda: time.time() + passed_s
            )  # fmt: skip
            assert await states.over({waiting, never}) == set()
            passed_s = 10 * FORGOTTEN_AFTER_S
            assert await states.over({waiting, never}) == {never}
            await one.client.resume_trigger("orders", "go")
            await until(lambda: one.open_run(waiting) is not None, "the run")
            assert await states.over({waiting}) == set()

    run(test())


def test_no_run_of_a_family_is_over_before_the_others(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        call = {"type": "std::subflow", "config": {"flow": "child"}}
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("child", "f.echo"), flow("parent", {"call": call, "after": {"type": "f.echo"}}))
            id = await one.client.send("parent", 1)
            child = f"{id}.call"
            await until(lambda: one.open_run(child) is not None, "the child")
            await complete(one, child)
            await one.log.ended(child)
            await one.quiet()
            states = RunStates(one.client.connection, PARTITIONS)
            assert await answers(one, child) == [OVER] and await states.over({child}) == set(), "its parent has its output"
            await complete(one, id, node=1)
            await one.log.ended(id)
            await over_at_last(states, {id, child})

    run(test())


def test_a_parent_is_not_over_while_a_detached_child_has_what_it_was_given(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        call = {"type": "std::subflow", "config": {"flow": "child", "detached": True}}
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("child", "f.echo"), flow("parent", {"call": call}))
            ids = await asyncio.gather(*one.ids("parent", 8))
            children = [f"{id}.call" for id in ids]
            await one.log.ended(*ids)
            await until(lambda: all(one.open_run(child) is not None for child in children), "the children")
            await one.quiet()
            states = RunStates(one.client.connection, PARTITIONS)
            assert await states.over({*ids, *children}) == set()
            await one.leave(one.coordinators[0])
            await one.coordinator()
            assert await states.over({*ids, *children}) == set(), "another owner knows that too"
            await asyncio.gather(*(complete(one, child) for child in children))
            await over_at_last(states, {*ids, *children})

    run(test())


def test_objects_that_an_output_names_stay_pinned_as_long_as_the_history(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        digests = ["a" * 64, "b" * 64]
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo", history={"keep": "2d"}), chain("plain", "f.echo"))
            id, plain = await one.client.send("orders", 1), await one.client.send("plain", 1)
            refs: Sequence[Ref] = [Ref("bytes", 5, 0, digest=digest) for digest in digests]
            await complete(one, id, {"both": refs, "once more": refs[0], "not uploaded": Ref("bytes", 5, 0, host="h", segment="s")})
            await complete(one, plain, {"n": 1})
            await one.log.ended(id, plain)
            await one.quiet()
            await over_at_last(RunStates(one.client.connection, PARTITIONS), {id, plain})
            pins = [message async for message in one.client.connection.streams.read(subjects.OBJECTS, subject="object.pin.>")]
            assert sorted(pin.subject for pin in pins) == [subjects.object_pin(id, digest) for digest in digests]
            (summary,) = await one.log.ended(id)
            untils = {msgspec.msgpack.decode(pin.data)[1] for pin in pins}
            assert untils == {summary.ended_at + 2 * 24 * 60 * 60 * 1_000}

    run(test())


def test_the_owner_of_the_first_partition_withdraws_the_pins_of_runs_that_are_over(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        mine = False
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            connection = one.client.connection
            ended, open_one = await one.client.send("orders", 1, id="a"), await one.client.send("orders", 2, id="b")
            await complete(one, ended)
            await one.log.ended(ended)
            for id in (ended, open_one):
                await connection.publisher.publish(*pin_until(id, "a" * 64, 0))
            keeping = asyncio.create_task(keep_objects(connection, PARTITIONS, lambda: mine, every_s=0.01))
            pins = {subjects.object_pin(id, "a" * 64) for id in (ended, open_one)}
            assert set(await connection.streams.subjects(subjects.OBJECTS, "object.pin.>")) == pins
            mine = True
            async with asyncio.timeout(15):
                while set(await connection.streams.subjects(subjects.OBJECTS, "object.pin.>")) == pins:
                    await asyncio.sleep(0.01)
            assert set(await connection.streams.subjects(subjects.OBJECTS, "object.pin.>")) == {subjects.object_pin(open_one, "a" * 64)}
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    run(test())

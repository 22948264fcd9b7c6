"""Records that are late, doubled, absurd or unreadable: each harms at most the run that it belongs to, and nothing is dropped unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.coordinator import partition
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.messages import Task
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import Completion, Record, RunStarted, TimerFired, TimerId

from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import until

PARTITIONS = 2
FORK = flow("fork", {"a": {"type": "f.echo"}, "b": {"type": "f.echo"}, "c": {"type": "f.echo"}, "d": {"type": "f.echo"}},
            ["a -> b", "a -> c", "b -> d", "c -> d"])  # fmt: skip
A, B, C, D = range(4)


async def append(one: Fleet, partition: int, data: bytes) -> None:
    await one.client.connection.publisher.publish(subjects.wal(partition), data)


async def say(one: Fleet, *records: Record) -> None:
    """Append records to the WAL of the first one's run, as one message."""
    await append(one, subjects.partition_of(records[0].run, PARTITIONS), messages.encode_all(records))
    await one.quiet()


def done(id: str, node: int, value: Any = None, attempt: int = 1) -> Completion:
    return Completion(id, 0, (node,), attempt, output=encode(value))


async def begun(one: Fleet, flow: str, payload: Any = None) -> str:
    id = await one.client.send(flow, payload)
    await until(lambda: one.open_run(id) is not None, "the run")
    return id


async def handed_out(one: Fleet) -> list[tuple[str, Any]]:
    """The attempts in TASKS, in order."""
    stored = [message async for message in one.client.connection.streams.read(subjects.TASKS, subject="tasks.>")]
    tasks = [messages.decode(Task, entry) for message in stored for entry in messages.split(message.data)]
    return [(task.run, task.activation[0]) for task in tasks]


def test_completions_out_of_order_doubled_late_and_of_other_attempts_change_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            counters = one.coordinators[0].counters
            await one.deploy(FORK)
            id = await begun(one, "fork")
            await say(one, done(id, B, "too early"), done(id, A, 1), done(id, A, "again"))
            await say(one, done(id, C, 3), done(id, B, 2, attempt=2), done(id, B, 2), done(id, C, "late"))
            assert await handed_out(one) == [(id, node) for node in (A, B, C, D)]
            assert counters.records_ignored == 4
            await say(one, done(id, D, "end"), done(id, D, "late"), done(id, A, "very late"))
            (summary,) = await one.log.ended(id)
            assert (summary.status, summary.output, summary.records) == ("completed", encode("end"), 9)
            await one.quiet()
            assert counters.records_ignored == 6, "what came after the end belongs to no run any more"
            assert len(one.log.journal(id)) == 9, "the journal has what was ignored too"

    run(test())


@pytest.mark.parametrize(
    "absurd",
    [
        Completion("", 0, (999,), 1),
        Completion("", 0, (-1,), 1),
        Completion("", 0, (), 1),
        Completion("", 0, ("a",), 1),
        Completion("", 0, (0, 0, 0), 1),
        Completion("", 0, (0,), -5, port="nowhere"),
        TimerFired("", 0, TimerId((999,), "retry", 1)),
        TimerFired("", 0, TimerId((), "nonsense", 1)),
    ],
    ids=str,
)
def test_a_record_that_makes_no_sense_harms_nobody(fresh_url: str, tmp_path: Path, absurd: Record) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            id = await begun(one, "orders")
            kind = type(absurd)
            await say(one, kind(**{field: getattr(absurd, field) for field in absurd.__struct_fields__} | {"run": id}), done(id, 0, 1))
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed"

    run(test())


def test_what_cannot_be_decoded_is_kept_with_the_dead_and_the_others_go_on(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders", "f.echo"))
            id = await begun(one, "orders")
            home = subjects.partition_of(id, PARTITIONS)
            await append(one, home, b"no batch at all")
            await append(one, home, messages.join([encode([77, id, 0, "of a newer kind"]), b"\x01", encode_record(done(id, 0, 1))]))
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and len(one.log.journal(id)) == 2
            await one.log.until(lambda: len(one.log.letters) == 3, "letters")
            assert [letter.data for letter in one.log.letters] == [b"no batch at all", encode([77, id, 0, "of a newer kind"]), b"\x01"]
            assert {(letter.kind, letter.subject) for letter in one.log.letters} == {("record", subjects.wal(home))}
            assert all(f"partition {home}" in letter.where and letter.reason for letter in one.log.letters)
            assert one.coordinators[0].counters.dead_letters == 3
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await one.quiet()
            assert len(one.log.letters) == 3, "a new owner does not bury them again"

    run(test())


def test_a_run_of_a_version_that_nobody_knows_is_kept_with_the_dead_and_the_others_go_on(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.echo"))
            for home in range(PARTITIONS):
                await append(one, home, messages.encode_all([RunStarted(f"ghost-{home}", 0, "ghost", "0" * 64)]))
            runs = [await one.client.send("orders", n) for n in range(10)]
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            await one.log.until(lambda: len(one.log.letters) == PARTITIONS, "letters")
            assert all("plan" in letter.reason for letter in one.log.letters)

    run(test())


def test_a_defect_of_the_engine_ends_one_run_and_harms_no_other(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(chain("orders"))
            victim = subjects.run_id("orders", "k3")
            monkeypatch.setattr(partition, "decide", defective(partition.decide, victim))
            runs = [await one.client.send("orders", n, id=f"k{n}") for n in range(10)]
            summaries = dict(zip(runs, await one.log.ended(*runs), strict=True))
            failed = summaries.pop(victim)
            assert {summary.status for summary in summaries.values()} == {"completed"}
            assert failed.status == "failed" and failed.error is not None
            assert (failed.error.type, failed.error.retryable) == ("internal", False) and "ZeroDivisionError" in failed.error.message
            assert one.open_run(victim) is None and len(one.log.journal(victim)) == 2

    run(test())


def test_a_run_that_cannot_even_begin_is_kept_with_the_dead_and_harms_no_other(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(chain("orders", settings={"max_concurrent_executions": 1}))
            monkeypatch.setattr(partition, "begin", defective(partition.begin, subjects.run_id("orders", "k3")))
            runs = [await one.client.send("orders", n, id=f"k{n}") for n in range(10)]
            assert {summary.status for summary in await one.log.ended(*runs[:3], *runs[4:])} == {"completed"}
            await one.log.until(lambda: bool(one.log.letters), "a letter")
            (letter,) = one.log.letters
            assert "ZeroDivisionError" in letter.reason

    run(test())


def defective(sound: Any, victim: str) -> Any:
    """A function of the engine that fails on one run."""

    def function(of: Any, record: Record) -> Any:
        if record.run == victim:
            raise ZeroDivisionError("a defect")
        return sound(of, record)

    return function


def test_a_run_whose_node_type_no_worker_has_waits_and_says_why(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.client.deploy(chain("orders", "nobody.has-this"))
            id = await one.client.send("orders", 1)
            await until(lambda: one.open_run(id) is not None, "the run")
            view = await one.client.look(id)
            assert view is not None and view.status == "running"
            assert [(node, reason) for node, reason, _, _ in view.blocked] == [("n0", "task")]

    run(test())

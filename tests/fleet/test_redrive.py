"""Dead letters that are sent again once what stood in their way is mended, and what becomes of them then."""

from __future__ import annotations

from pathlib import Path

from jetfleet.broker.api.definitions import definition_of
from jetfleet.broker.api.letters import dead_letters, redrive
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.messages import DeadLetter
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import RunStarted

from .fleets import NODES, Fleet, chain, fleet
from .running import run
from .task_owner import owner, task
from .worker_processes import worker

PARTITIONS = 2


async def redrive_all(one: Fleet, count: int) -> None:
    await one.log.until(lambda: len(one.log.letters) == count, f"{count} letters")
    for letter in await one.client.dead_letters():
        await one.client.redrive(letter.seq)


def test_runs_of_a_version_that_was_missing_begin_when_it_is_there(fresh_url: str, tmp_path: Path) -> None:
    """Both records came in one message, and are two letters."""

    async def test() -> None:
        flow = chain("orders")
        digest = definition_of(flow, [NODES]).digest
        runs = [id for id in (f"orders-{n}" for n in range(9)) if subjects.partition_of(id, PARTITIONS) == 0][:2]
        started = [RunStarted(id, 1_750_000_000_000, "orders", digest, "go", encode({"n": 1})) for id in runs]
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.client.connection.publisher.publish(subjects.wal(0), messages.encode_all(started))
            await one.log.until(lambda: len(one.log.letters) == 2, "both are buried")
            assert [letter.data for letter in one.log.letters] == [encode_record(record) for record in started]
            await one.deploy(flow)
            await redrive_all(one, 2)
            assert [summary.status for summary in await one.log.ended(*runs)] == ["completed"] * 2
            assert await one.client.dead_letters() == []

    run(test())


def test_a_task_that_is_sent_again_is_executed_if_its_run_still_wants_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            fleet.unwanted.add("ended")
            for id in ("open", "ended"):
                letter = DeadLetter(
                    "task", "poison_task", "its worker died", subjects.tasks("default"), messages.encode(task("double", id, {"n": 1})), 7,
                    {"Nats-Msg-Id": "the batch", subjects.DEATHS_HEADER: "5"},
                )  # fmt: skip
                await fleet.connection.publisher.publish(subjects.dead("task"), messages.encode(letter))
            for number in [letter.seq for letter in await dead_letters(fleet.connection)]:
                await redrive(fleet.connection, number)
            await fleet.ends("open")
            await fleet.none_left()
            assert [asked.run for asked in fleet.asked] == ["open", "ended"] and "ended" not in fleet.completions

    run(test())

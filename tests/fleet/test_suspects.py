"""What may be a repetition is asked about, and an answer is not used when it is no longer true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from jetfleet.broker.client import Message
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import AttemptId, Task, decode, encode_all, split
from jetfleet.schemas.payload import encode
from jetfleet.workers.fleet import attempts

from .running import run
from .task_owner import Owner, owner, task
from .test_worker import executions
from .trouble import until
from .worker_processes import worker

MARKED, AFTER_A_DEATH = {}, {"Jetfleet-Deaths": "1"}


class Questions:
    """Holds every question back until the test answers it."""

    def __init__(self) -> None:
        self.open: list[Message] = []
        self.count = 0

    async def hear(self, fleet: Owner) -> None:
        for partition in range(fleet.deployed.partitions):
            await fleet.connection.subscribe(subjects.verify(partition), self._take)

    async def asked(self, count: int) -> None:
        await until(lambda: self.count >= count, f"question {count}")

    async def answer(self, wanted: bool) -> None:
        """All that are open, alike."""
        messages, self.open = self.open, []
        for message in messages:
            await message.respond(encode([wanted] * len(runs_of(message))))

    def _take(self, message: Message) -> None:
        self.count += 1
        self.open.append(message)


def runs_of(message: Message) -> list[str]:
    return [decode(AttemptId, entry).run for entry in split(message.data)]


async def give(fleet: Owner, tasks: Sequence[Task], headers: dict[str, str]) -> None:
    await fleet.connection.publisher.publish(subjects.tasks("default"), encode_all(tasks), headers=headers)


@pytest.mark.parametrize("headers", [MARKED, AFTER_A_DEATH], ids=["marked", "after a death"])
def test_an_answer_that_was_overtaken_by_the_end_of_the_attempt_is_asked_for_again(
    fresh_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        questions = Questions()
        async with owner(fresh_url, answering=False) as fleet, worker(fresh_url, tmp_path):
            await questions.hear(fleet)
            await fleet.give([task("gated", "r", value)])
            await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
            await give(fleet, [task("gated", "r", value, repeated=True)], headers)
            await questions.asked(1)
            (tmp_path / "gate").touch()
            await fleet.ends("r")
            await questions.answer(True)  # it was, when it was asked
            await questions.asked(2)
            await questions.answer(False)
            await fleet.none_left()
            assert executions(tmp_path / "log") == ["r"] and len(fleet.completions["r"]) == 1

    run(test())


def test_an_attempt_that_is_in_a_slot_when_its_repetition_is_wanted_is_executed_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            await fleet.give([task("gated", "r", value)])
            await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
            for headers in (MARKED, AFTER_A_DEATH):
                await give(fleet, [task("gated", "r", value, repeated=True)], headers)
            await until(lambda: len(fleet.asked) == 2 and not one.processor.asking, "both copies are wanted")
            (tmp_path / "gate").touch()
            await fleet.none_left()
            assert executions(tmp_path / "log") == ["r"]

    run(test())


def test_what_another_worker_records_while_a_suspect_waits_for_its_slot_is_not_executed(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FRESH_S", 0.0)  # however short the wait for the slot is

    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, concurrency=1) as one:
            await fleet.give([task("gated", "first", value), task("gated", "second", value, repeated=True)])
            await until(lambda: executions(tmp_path / "log") == ["first"], "the slot is taken")
            await until(lambda: len(fleet.asked) == 1 and not one.processor.asking, "the copy is wanted, and waits")
            fleet.unwanted.add("second")
            (tmp_path / "gate").touch()
            await fleet.none_left()
            assert executions(tmp_path / "log") == ["first"]

    run(test())


@pytest.mark.parametrize("headers", [MARKED, AFTER_A_DEATH], ids=["marked", "after a death"])
def test_copies_that_are_all_wanted_at_the_same_time_are_executed_once_in_the_lane_too(
    fresh_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        questions = Questions()
        async with owner(fresh_url, answering=False) as fleet, worker(fresh_url, tmp_path):
            await questions.hear(fleet)
            await give(fleet, [task("noted", "r", value, repeated=True)], headers)
            await give(fleet, [task("noted", "r", value, repeated=True)] * 2, MARKED)
            await questions.asked(2)
            await questions.answer(True)
            await fleet.ends("r")
            await questions.asked(3)
            while await fleet.tasks_left():
                await questions.answer(False)
            assert executions(tmp_path / "log") == ["r"] and len(fleet.completions["r"]) == 1

    run(test())


def test_nothing_is_asked_while_a_completion_is_on_its_way_to_the_disk(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            places: dict[int, str] = {}
            for n in range(20):
                places.setdefault(subjects.partition_of(f"r{n}", fleet.deployed.partitions), f"r{n}")
            here, elsewhere = places[0], places[1]
            wal = one.completions._batchers[0]
            wal.gate = lambda: False
            await fleet.give([task("noted", here, value)])
            await until(lambda: executions(tmp_path / "log") == [here], "it was executed")
            await fleet.give([task("noted", here, value, repeated=True)])
            await fleet.give([task("noted", elsewhere, value, repeated=True)])
            await fleet.ends(elsewhere)
            assert [asked.run for asked in fleet.asked] == [elsewhere]
            wal.gate = None
            wal._flush()
            await fleet.none_left()
            assert [asked.run for asked in fleet.asked] == [elsewhere, here]
            assert executions(tmp_path / "log") == [here, elsewhere]

    run(test())


def test_what_waits_in_the_lane_has_its_turn_before_a_copy_of_it_is_asked_about(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            lane = one.processor.lane
            schedule, lane._schedule = lane._schedule, lambda: None
            await fleet.give([task("noted", "r", value)])
            await until(lambda: lane.load == 1, "it waits in the lane")
            for headers in (MARKED, AFTER_A_DEATH):
                await give(fleet, [task("noted", "r", value, repeated=True)], headers)
            await until(lambda: len(one.processor.units) == 3, "the copies are there")
            assert await fleet.tasks_left() == 3 and fleet.asked == []
            lane._schedule = schedule
            schedule()
            await fleet.none_left()
            assert len(fleet.asked) == 2 and executions(tmp_path / "log") == ["r"]

    run(test())

"""Tasks near the arena of a host: its workers take them first, and nothing lies there that they do not take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.topology import queue_consumer
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import Task, encode_all
from jetfleet.workers.fleet import processor
from jetfleet.workers.fleet.elsewhere import Look, overdue
from jetfleet.workers.fleet.worker import Worker

from .conftest import ServerFactory
from .running import run
from .task_owner import Owner, output, owner, task
from .trouble import restarted, until
from .worker_processes import worker, worker_process


async def give_near(fleet: Owner, host: str, tasks: Sequence[Task]) -> None:
    """Publish each of these tasks as a message of its own, near that host."""
    for each in tasks:
        await fleet.connection.publisher.publish(subjects.tasks("default", host), encode_all([each]))


async def waiting(connection: Connection) -> dict[str, int]:
    return await connection.streams.subjects(subjects.TASKS, "tasks.>")


def host_of(one: Worker) -> str:
    """The id of its arena. Workers with folders of their own have arenas of their own, as on several hosts."""
    assert one.host
    return one.host


def test_tasks_near_a_host_are_executed_by_its_worker(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            owner(fresh_url) as fleet,
            worker(fresh_url, tmp_path / "a") as alpha,
            worker(fresh_url, tmp_path / "b") as beta,
        ):
            await give_near(fleet, host_of(alpha), [task("double", f"a{n}", {"n": n}) for n in range(20)])
            await give_near(fleet, host_of(beta), [task("double", f"b{n}", {"n": n}) for n in range(20)])
            near_alpha = await fleet.ends(*(f"a{n}" for n in range(20)))
            near_beta = await fleet.ends(*(f"b{n}" for n in range(20)))
            assert {end.worker for end in near_alpha} == {alpha.id}
            assert {end.worker for end in near_beta} == {beta.id}
            assert [output(end)["n"] for end in near_alpha] == [2 * n for n in range(20)]
            await fleet.none_left()

    run(test())


def test_what_a_busy_host_does_not_take_another_takes(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with (
            owner(fresh_url) as fleet,
            worker(fresh_url, tmp_path / "a", concurrency=1) as alpha,
        ):
            await give_near(fleet, host_of(alpha), [task("gated", f"busy{n}", value) for n in range(3)])
            await until(lambda: alpha._room() <= 0, "alpha has as much as it wants")
            await give_near(fleet, host_of(alpha), [task("double", f"r{n}", {"n": n}) for n in range(5)])
            async with worker(fresh_url, tmp_path / "b") as beta:
                ends = await fleet.ends(*(f"r{n}" for n in range(5)))
                assert {end.worker for end in ends} == {beta.id}
                (tmp_path / "gate").touch()
                await fleet.ends("busy0", "busy1", "busy2")
                await fleet.none_left()

    run(test())


def test_what_comes_from_two_places_at_once_does_not_wait_for_one_slot(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        def gated(name: str) -> Task:
            return task("gated", name, {"log": str(tmp_path / "log"), "gate": str(tmp_path / name)})

        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "a", concurrency=1) as alpha:
            (tmp_path / "first").touch()
            await fleet.give([gated("first")])
            await fleet.ends("first")
            alpha.processor.attempts.mean_us = 1e6  # it has learnt that attempts take a second
            await fleet.give([gated("slow")])
            await until(lambda: bool(alpha.slots.running), "it is being executed")
            await give_near(fleet, host_of(alpha), [gated("one")])
            await fleet.give([gated("other")])
            (tmp_path / "slow").touch()
            await fleet.ends("slow")
            await until(lambda: len((tmp_path / "log").read_text().splitlines()) == 3, "one of the two is being executed")
            async with worker(fresh_url, tmp_path / "b", concurrency=1):
                await until(lambda: len((tmp_path / "log").read_text().splitlines()) == 4, "so is the other, by the other worker")
                for name in ("one", "other"):
                    (tmp_path / name).touch()
                ends = await fleet.ends("one", "other")
                assert len({end.worker for end in ends}) == 2
                await fleet.none_left()

    run(test())


def test_what_waits_near_a_host_that_nobody_knows_is_taken(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            await give_near(fleet, "long-gone", [task("double", f"r{n}", {"n": n}) for n in range(200)])
            ends = await fleet.ends(*(f"r{n}" for n in range(200)))
            assert {end.worker for end in ends} == {one.id}
            await fleet.none_left()

    run(test())


def test_more_hosts_than_one_look_goes_into_take_turns(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            for number in range(15):
                await give_near(fleet, f"h{number}", [task("double", f"r{number}", {"n": number})])
            await fleet.ends(*(f"r{number}" for number in range(15)))
            await fleet.none_left()

    run(test())


def test_tasks_of_another_queue_are_left_to_its_workers(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, queues=("other",)) as one:
            await give_near(fleet, "gone", [task("double", "r", {"n": 1})])
            await fleet.connection.publisher.publish(subjects.tasks("other", "gone"), encode_all([task("double", "s", {"n": 1})]))
            await fleet.ends("s")
            await one._elsewhere._look()  # type: ignore[union-attr]
            assert await waiting(fleet.connection) == {"tasks.default.gone": 1}

    run(test())


def test_a_killed_host_leaves_nothing_behind(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet:
            with worker_process(fresh_url, tmp_path / "a", "--concurrency", "2") as alpha:
                host_file = tmp_path / "a" / "arena" / "id"
                await until(host_file.exists, "the process has an arena")
                host = host_file.read_text().strip()
                await give_near(fleet, host, [task("gated", f"r{n}", value) for n in range(8)])
                await until(lambda: (tmp_path / "log").exists(), "the process executes one of them")
                alpha.kill()
            (tmp_path / "gate").touch()
            async with worker(fresh_url, tmp_path / "b") as beta:
                ends = await fleet.ends(*(f"r{n}" for n in range(8)))
                assert {end.worker for end in ends} == {beta.id}
                await fleet.none_left()

    run(test())


def test_what_cannot_be_executed_near_the_data_goes_to_any_worker_of_the_queue(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "LACKING_DELAY_S", (0.01, 0.02))

    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "a", nodes=None) as alpha:
            await give_near(fleet, host_of(alpha), [task("double", "r", {"n": 1})])
            await until(lambda: bool(alpha.processor.lacking), "alpha has given it back")
            async with asyncio.timeout(15):
                while await waiting(fleet.connection) != {"tasks.default": 1}:
                    await asyncio.sleep(0.01)
            async with worker(fresh_url, tmp_path / "b") as beta:
                (end,) = await fleet.ends("r")
                assert end.worker == beta.id and output(end) == {"n": 2}
                await fleet.none_left()

    run(test())


def test_a_server_that_lost_its_memory_gets_the_consumers_back(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with owner(server.url) as fleet, worker(server.url, tmp_path) as alpha:
            await give_near(fleet, host_of(alpha), [task("double", "before", {"n": 1})])
            await give_near(fleet, "gone", [task("double", "gone before", {"n": 1})])
            await fleet.ends("before", "gone before")
            await restarted(server)
            await until(lambda: fleet.connection.is_connected and bool(alpha.processor.epoch), "the worker is back")
            await give_near(fleet, host_of(alpha), [task("double", "after", {"n": 1})])
            await give_near(fleet, "gone", [task("double", "gone after", {"n": 1})])
            await fleet.ends("after", "gone after")
            assert await fleet.connection.streams.consumer_info(subjects.TASKS, queue_consumer("default", host_of(alpha))) is not None
            await fleet.none_left()

    run(test())


def test_a_worker_says_which_arena_it_is_near_when_its_tasks_would_be_taken(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            assert one.membership.facts["arena"] == host_of(one)
            names = [queue_consumer("default", host) for host in ("", host_of(one))]
            assert all([await fleet.connection.streams.consumer_info(subjects.TASKS, name) for name in names])

    run(test())


def test_a_queue_with_a_misleading_name_has_a_consumer_of_its_own() -> None:
    assert queue_consumer("q-at-h") != queue_consumer("q", "h")


def test_overdue_is_what_was_there_at_the_look_before_and_was_not_delivered() -> None:
    assert overdue(None, Look(1, 5, 0), 0) == 0, "nobody knows how long it has been there"
    assert overdue(Look(0, 5, 0), Look(1, 5, 0), 0) == 5
    assert overdue(Look(0, 5, 0), Look(1, 9, 3), 3) == 2, "three were taken; four came later"
    assert overdue(Look(0, 5, 0), Look(1, 9, 8), 0) == 0, "its workers keep up"
    assert overdue(Look(0, 0, 7), Look(1, 0, 7), 2) == 2, "delivered, not acknowledged, and perhaps back"
    assert overdue(Look(0, 5, 9), Look(1, 5, 0), 0) == 0, "the consumer was made anew"

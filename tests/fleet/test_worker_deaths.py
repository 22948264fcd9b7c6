"""Workers that die, stand still, or lose their server: nothing is lost, and a task that kills its workers is found out."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.fleet.process import start_ticks
from jetfleet.schemas import subjects

from .conftest import ServerFactory
from .running import run
from .task_owner import output, owner, task
from .trouble import restarted, until
from .worker_processes import worker, worker_process

LONG_S = 600.0
"""An `ack_wait` that no test waits for: what comes sooner was given back."""


def executions(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_what_a_killed_worker_had_in_work_is_given_back_by_the_one_that_takes_its_place(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url, ack_wait_s=LONG_S) as fleet:
            with worker_process(fresh_url, tmp_path / "data") as first:
                for n in range(3):
                    await fleet.give([task("gated", f"r{n}", value)])
                await until(lambda: len(executions(tmp_path / "log")) == 3, "all are being executed")
                first.kill()
            (tmp_path / "gate").touch()
            async with worker(fresh_url, tmp_path / "data") as second:
                assert second.ledger.slot == "0"
                ends = await fleet.ends("r0", "r1", "r2")
                assert {end.worker for end in ends} == {second.id} and second.counters.redeliveries == 3
                await fleet.none_left()

    run(test())


def test_a_neighbour_notices_the_death_and_gives_back_what_was_in_work(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url, ack_wait_s=LONG_S) as fleet:
            with worker_process(fresh_url, tmp_path / "data") as first:
                await fleet.give([task("gated", "r", value)])
                await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
                async with worker(fresh_url, tmp_path / "data") as neighbour:
                    first.kill()
                    await until(lambda: executions(tmp_path / "log") == ["r", "r"], "the neighbour executes it")
                    (tmp_path / "gate").touch()
                    assert (await fleet.ends("r"))[0].worker == neighbour.id

    run(test())


def test_a_task_that_was_recorded_before_the_death_is_not_executed_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url, ack_wait_s=LONG_S) as fleet:
            with worker_process(fresh_url, tmp_path / "data") as first:
                # One message: the first task is recorded, the second keeps the message from being acknowledged.
                await fleet.give([task("noted", "quick", value), task("gated", "slow", value)])
                await fleet.ends("quick")
                await until(lambda: "slow" in executions(tmp_path / "log"), "the second is being executed")
                first.kill()
            (tmp_path / "gate").touch()
            async with worker(fresh_url, tmp_path / "data"):
                await fleet.ends("slow")
                await fleet.none_left()
            assert sorted(executions(tmp_path / "log")) == ["quick", "slow", "slow"]
            assert len(fleet.completions["quick"]) == 1

    run(test())


@pytest.mark.part("process pool")
def test_a_task_that_kills_what_executes_it_is_failed_as_poison_and_its_neighbours_complete(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url, ack_wait_s=LONG_S) as fleet:
            before, after = [task("noted", f"r{n}", value) for n in range(3)], [task("noted", f"r{n}", value) for n in range(3, 6)]
            await fleet.give([*before, task("noted", "bad", value | {"poison": True}), *after])
            await fleet.give([task("noted", "bystander", value)])
            for n in range(4):
                await fleet.give([task("gated", f"waits{n}", value | {"gate": str(tmp_path / "gate")})])
            for _ in range(2):
                with worker_process(fresh_url, tmp_path / "data") as one:
                    assert await one.ended(15) == 9, "the node ends its worker"
            with worker_process(fresh_url, tmp_path / "data"):
                (bad,) = await fleet.ends("bad")
                assert bad.error is not None and (bad.error.type, bad.error.retryable) == ("poison_task", False)
                assert bad.error.message == "its worker died 2 times while executing it, and then a process of its own 3 times"
                (tmp_path / "gate").touch()
                ends = await fleet.ends("bystander", *(f"r{n}" for n in range(6)), *(f"waits{n}" for n in range(4)))
                assert {output(end) for end in ends} == {"noted", "through"}, "nobody else is blamed"
                await fleet.until(lambda: bool(fleet.letters), "a dead letter")
                assert (fleet.letters[0].kind, fleet.letters[0].code) == ("task", "poison_task")
            assert executions(tmp_path / "log").count("bad") == 5

    run(test(), 90)


@pytest.mark.part("process pool")
@pytest.mark.parametrize("name", ["gated", "blocking", "noted"])
def test_a_task_that_was_there_whenever_a_worker_died_is_not_blamed_for_it(name: str, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        (tmp_path / "gate").touch()
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "data"):
            await fleet.give([task(name, "innocent", value)], deaths=19)
            (end,) = await fleet.ends("innocent")
            assert output(end) in ("through", "noted")
            _, _, pid = (tmp_path / "log").read_text().split()
            assert int(pid) != os.getpid(), "it was tried in a process of its own"
            await fleet.none_left()

    run(test())


@pytest.mark.part("process pool")
@pytest.mark.parametrize("deaths", [1, 4])
def test_a_task_that_waits_holds_up_nobody_however_many_workers_died_of_its_message(deaths: int, fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "data"):
            await fleet.give(
                [task("gated", "waits", value), task("gated", "waits-too", value), task("noted", "quick", value)], deaths=deaths
            )
            await fleet.ends("quick")
            await until(lambda: set(executions(tmp_path / "log")) == {"waits", "waits-too", "quick"}, "all three are being executed")
            assert "waits" not in fleet.completions
            (tmp_path / "gate").touch()
            await fleet.ends("waits", "waits-too")
            await fleet.none_left()

    run(test())


def test_a_task_that_takes_workers_down_beyond_its_process_is_executed_no_more(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "data"):
            await fleet.give([task("noted", "bad", value)], deaths=20)
            (end,) = await fleet.ends("bad")
            assert end.error is not None and end.error.type == "poison_task"
            assert executions(tmp_path / "log") == []
            await fleet.none_left()

    run(test())


@pytest.mark.part("process pool")
def test_the_processes_of_a_killed_worker_end_with_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log = tmp_path / "log"
        async with owner(fresh_url) as fleet:
            with worker_process(fresh_url, tmp_path / "data") as one:
                await fleet.give([task("busy", "r", {"log": str(log)})])
                await until(lambda: executions(log) == ["r"], "it is being executed")
                pid = int(log.read_text().split()[2])
                assert pid != one.pid
                one.kill()
                await until(lambda: start_ticks(pid) is None, "the node's process is gone too")

    run(test())


def test_of_a_worker_that_stands_still_another_one_takes_over_and_its_late_completion_changes_nothing(
    fresh_url: str, tmp_path: Path
) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url, ack_wait_s=0.5) as fleet:
            with worker_process(fresh_url, tmp_path / "data", "--concurrency", "1") as first:
                # With its only slot taken it asks for nothing more: the server would give it the message again and again.
                await fleet.give([task("gated", "r", value)])
                await until(lambda: executions(tmp_path / "log") == ["r"], "it is being executed")
                first.freeze()
                (tmp_path / "gate").touch()
                async with worker(fresh_url, tmp_path / "data") as second:
                    assert (await fleet.ends("r"))[0].worker == second.id
                    first.thaw()
                    await fleet.until(lambda: len(fleet.completions["r"]) == 2, "the late completion is in the log too")
                    await fleet.none_left()

    run(test())


def test_a_message_in_work_stays_with_its_worker_however_short_the_wait_is(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with (
            owner(fresh_url, ack_wait_s=0.3) as fleet,
            worker(fresh_url, tmp_path / "a") as one,
            worker(fresh_url, tmp_path / "b") as two,
        ):
            await fleet.give([task("gated", "long", value)])
            await until(lambda: executions(tmp_path / "log") == ["long"], "it is being executed")
            # Another message that is left alone for as long is delivered again meanwhile.
            busy = one if one.processor.units else two
            for n in range(5):
                (unit,) = busy.processor.units
                await until(lambda unit=unit, n=n: monotonic() - unit.since > 0.3 * (n + 1), "time passes")
            (tmp_path / "gate").touch()
            await fleet.ends("long")
            await fleet.none_left()
            assert executions(tmp_path / "log") == ["long"]
            assert one.counters.redeliveries + two.counters.redeliveries == 0

    run(test())


def test_a_server_that_is_killed_under_load_loses_no_completion(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with owner(server.url) as fleet, worker(server.url, tmp_path) as one:
            runs = [f"r{n}" for n in range(2_000)]
            for start in range(0, len(runs), 50):
                await fleet.give([task("double", each, {"n": 1}) for each in runs[start : start + 50]])
                if start == 1_000:
                    await restarted(server)
            # Tasks are in memory: those that had not been executed are the owner's to give out again.
            await until(lambda: not one.completions.backlog, "what was executed is recorded")
            await one.idle()
            while missing := [each for each in runs if each not in fleet.completions]:
                for start in range(0, len(missing), 50):
                    await fleet.give([task("double", each, {"n": 1}, repeated=True) for each in missing[start : start + 50]])
                await fleet.ends(*missing)
            assert all(output(fleet.completions[each][0]) == {"n": 2} for each in runs)

    run(test(), 60)


def test_a_worker_that_starts_while_the_server_forgets_its_tasks_makes_their_stream_anew(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet:
            subscribe, forgot = Connection.subscribe, []

            async def forget(connection: Connection, subject: str, *handler: Any, **options: Any) -> Any:
                """It has joined the fleet, and has not made its consumer."""
                if subject == subjects.CANCEL and connection.name == "worker":
                    forgot.append(await fleet.connection.streams.delete_stream(subjects.TASKS))
                return await subscribe(connection, subject, *handler, **options)

            Connection.subscribe = forget  # type: ignore[assignment, method-assign]
            try:
                async with worker(fresh_url, tmp_path):
                    assert forgot == [True]
                    await fleet.give([task("double", "after", {"n": 1})])
                    await fleet.ends("after")
            finally:
                Connection.subscribe = subscribe  # type: ignore[method-assign]

    run(test())


def test_a_worker_goes_on_after_the_server_forgot_its_queue(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with owner(server.url) as fleet, worker(server.url, tmp_path):
            await fleet.give([task("double", "before", {"n": 1})])
            await fleet.ends("before")
            await restarted(server)
            await until(lambda: fleet.connection.is_connected, "connected again")
            await fleet.give([task("double", "after", {"n": 1})])
            await fleet.ends("after")

    run(test())

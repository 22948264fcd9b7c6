"""Own nodes in processes: what they compute, and how they die without taking anybody with them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from pebble import ProcessPool

from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.payload import decode, encode
from jetfleet.workers.executor import Executor
from jetfleet.workers.registry import Registry

from .bench import Bench

pytestmark = pytest.mark.part("process pool")


@pytest.fixture
def crashing(bench: Bench) -> Bench:
    bench.registry.load(str(Path(__file__).with_name("crashing.py")))
    return bench


def test_a_process_node_gets_typed_input_and_its_config(crashing: Bench) -> None:
    found = crashing.output("crash.sum", {"numbers": [1, 2, 3]}, {"unit": "${pipeline.config.greeting}"})
    assert (found["sum"], found["unit"]) == (6, "hi")
    assert found["process"] != os.getpid()


def test_a_process_node_knows_its_attempt_and_chooses_its_port(crashing: Bench) -> None:
    completion = crashing.execute("crash.who", attempt=2)
    assert completion.port == "no"
    assert decode(completion.output) == ["run-1", "run-1/subject", 2, "north"]


def test_input_that_does_not_fit_names_the_field(crashing: Bench) -> None:
    error = crashing.error("crash.sum", {"numbers": [1, "x"]}, {"unit": "m"})
    assert (error.type, error.retryable) == ("invalid_input", False)
    assert "numbers.1" in error.message


def test_an_exception_that_cannot_be_sent_is_still_reported(crashing: Bench) -> None:
    error = crashing.error("crash.raise")
    assert (error.type, error.retryable) == ("Unpicklable", True)
    assert any("crashing.py" in line for line in error.details["traceback"])


@pytest.mark.parametrize(
    ("type", "cause"), [("crash.segfault", "killed by SIGSEGV"), ("crash.exit", "exit code 3"), ("crash.memory", "out of memory")]
)
def test_a_process_that_dies_is_an_error_of_its_attempt(crashing: Bench, type: str, cause: str) -> None:
    error = crashing.error(type)
    assert (error.type, error.retryable) == ("process_died", True)
    assert cause in error.message


def test_nobody_else_waits_while_the_processes_start(crashing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting them imports everything that they need: seconds in which a worker must say that it lives."""
    start, others_went_on = ProcessPool._start_pool, threading.Event()

    def slow_start(pool: ProcessPool) -> None:
        assert others_went_on.wait(10), "the event loop stood still"
        start(pool)

    async def test() -> int:
        executor = Executor(crashing.registry, processes=1)
        plan, subject = crashing.flow("crash.sum", {"unit": "m"})
        task = Dispatch("run-1", (subject.index,), 1, encode({"numbers": [1, 2]}))
        try:
            executing = asyncio.create_task(executor.execute(plan, subject, task))
            asyncio.get_running_loop().call_later(0.01, others_went_on.set)
            return int(decode((await executing).output)["sum"])
        finally:
            await executor.close()

    monkeypatch.setattr(ProcessPool, "_start_pool", slow_start)
    assert asyncio.run(test()) == 3


def test_what_processes_are_forked_from_is_there_before_the_first_attempt(crashing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second of processor time to begin, which runs that are under way would feel. Who has no such nodes does without it."""
    begun: list[str] = []
    monkeypatch.setattr(forkserver, "ensure_running", lambda: begun.append("fork server"))
    Executor(Registry()).expect_processes()
    assert begun == []
    Executor(crashing.registry).expect_processes()
    assert begun == ["fork server"]


def test_a_process_that_takes_too_long_is_killed(crashing: Bench) -> None:
    error = crashing.error("crash.hang", timeout_ms=100)
    assert (error.type, error.retryable) == ("timeout", True)
    assert "100 ms" in error.message


def test_an_unencodable_result_is_an_error(crashing: Bench) -> None:
    error = crashing.error("crash.unencodable")
    assert (error.type, error.retryable) == ("unencodable", False)


def test_cancelling_an_attempt_kills_its_process(crashing: Bench, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def cancel_when_started() -> list[Any]:
        executor = Executor(crashing.registry, processes=1)
        plan, subject = crashing.flow("crash.hang_open")
        attempt = asyncio.create_task(executor.execute(plan, subject, Dispatch("r", (subject.index,), 1, encode(str(pipe)))))
        with await asyncio.to_thread(open, pipe, "rb") as other_end:
            seen = [await asyncio.to_thread(other_end.read, 7)]
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            seen.append(await asyncio.to_thread(other_end.read))
        await executor.close()
        return seen

    assert asyncio.run(cancel_when_started()) == [b"started", b""]


def test_the_pool_goes_on_after_a_crash_and_a_cancelled_attempt(crashing: Bench) -> None:
    async def crash_then_cancel_then_work() -> list[Any]:
        executor = Executor(crashing.registry, processes=1)

        async def perform(type: str, value: Any, config: Any = None) -> Any:
            plan, node = crashing.flow(type, config)
            return await executor.execute(plan, node, Dispatch("run-1", (node.index,), 1, encode(value)))

        try:
            crashed = await perform("crash.segfault", None)
            hanging = asyncio.create_task(perform("crash.hang", None))
            await asyncio.sleep(0)
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
            worked = await perform("crash.sum", {"numbers": [4]}, {"unit": "m"})
            return [crashed.error.type, hanging.cancelled(), decode(worked.output)["sum"]]
        finally:
            await executor.close()

    assert asyncio.run(crash_then_cancel_then_work()) == ["process_died", True, 4]


def test_an_idle_process_that_is_killed_costs_nobody_an_attempt(crashing: Bench) -> None:
    """By the kernel, say, when memory is short. The pool that it belonged to does nothing any more."""

    async def work_kill_work() -> list[Any]:
        executor = Executor(crashing.registry, processes=1)
        plan, subject = crashing.flow("crash.sum", {"unit": "m"})

        async def work() -> Any:
            completion = await executor.execute(plan, subject, Dispatch("run-1", (subject.index,), 1, encode({"numbers": [1, 2]})))
            return completion.error or decode(completion.output)

        try:
            first = await work()
            os.kill(first["process"], signal.SIGKILL)
            return [first["sum"], *[(await work())["sum"] for _ in range(3)]]
        finally:
            await executor.close()

    assert asyncio.run(work_kill_work()) == [3, 3, 3, 3]


def test_processes_that_cannot_load_a_file_of_nodes_are_tried_again_with_the_next_attempt(bench: Bench, tmp_path: Path) -> None:
    """The file is being written anew while they start."""
    file = tmp_path / "crashing.py"
    right = Path(__file__).with_name("crashing.py").read_text()
    file.write_text(right)
    bench.registry.load(str(file))

    async def work_mend_work() -> list[Any]:
        executor = Executor(bench.registry, processes=1)
        plan, subject = bench.flow("crash.sum", {"unit": "m"})

        async def work() -> Any:
            completion = await executor.execute(plan, subject, Dispatch("run-1", (subject.index,), 1, encode({"numbers": [1, 2]})))
            return completion.error.type if completion.error else decode(completion.output)["sum"]

        try:
            file.write_text(f"{right}\nthis is no Python")
            failed = await work()
            file.write_text(right)
            return [failed, await work()]
        finally:
            await executor.close()

    failed, found = asyncio.run(work_mend_work())
    assert (failed, found) == ("no_process", 3)

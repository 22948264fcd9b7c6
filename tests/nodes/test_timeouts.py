"""Timeouts and cancellation of own nodes, and what a completion says."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.payload import decode, encode
from jetfleet.workers import Context, node
from jetfleet.workers.executor import Executor
from jetfleet.workers.providers import Services
from jetfleet.workers.virtual_clock import VirtualClock

from .bench import Bench


def test_an_async_node_is_cancelled_at_its_timeout(bench: Bench) -> None:
    ended: list[str] = []

    @node("test.hang", timeout_ms=60_000, registry=bench.registry)
    async def hang(value: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cleaned up")

    error = bench.error("test.hang", timeout_ms=20)
    assert (error.type, error.retryable) == ("timeout", True)
    assert error.message == "the node did not end within 20 ms"
    assert ended == ["cleaned up"]


def test_a_timeout_happens_in_the_time_of_the_clock(bench: Bench) -> None:
    clock = VirtualClock(start_ms=0)
    bench.services = Services(clock=clock)

    @node("test.wait", registry=bench.registry)
    async def wait(value: Any, context: Context) -> None:
        asyncio.get_running_loop().call_soon(clock.advance)
        await context.clock.sleep(3_600)

    error = bench.error("test.wait")
    assert error.type == "timeout"
    assert clock.now_ms() == 30_000


def test_a_timeout_of_the_nodes_own_is_an_error_of_that_name_too(bench: Bench) -> None:
    @node("test.own", registry=bench.registry)
    async def own(value: Any) -> None:
        raise TimeoutError("the bank did not answer")

    error = bench.error("test.own")
    assert (error.type, error.message) == ("timeout", "the bank did not answer")


def test_a_cancelled_error_of_the_nodes_own_is_a_failure(bench: Bench) -> None:
    @node("test.own", registry=bench.registry)
    async def own(value: Any) -> None:
        task = asyncio.create_task(asyncio.sleep(3_600))
        task.cancel()
        await task

    assert bench.error("test.own").type == "cancelled"


def test_cancelling_an_attempt_cancels_the_node_and_reports_nothing(bench: Bench) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @node("test.hang", registry=bench.registry)
    async def hang(value: Any) -> None:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def cancel() -> bool:
        plan, subject = bench.flow("test.hang")
        task = asyncio.create_task(Executor(bench.registry).execute(plan, subject, Dispatch("r", (subject.index,), 1, encode(None))))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(cancel()) is True
    assert ended.is_set()


def test_a_thread_that_takes_too_long_is_abandoned_told_and_counted(bench: Bench) -> None:
    go_on, seen = threading.Event(), threading.Event()

    @node("test.block", registry=bench.registry)
    def block(value: Any, context: Context) -> None:
        go_on.wait()
        if context.cancelled:
            seen.set()

    @node("test.quick", registry=bench.registry)
    def quick(value: Any) -> str:
        return "done"

    async def scenario() -> list[Any]:
        executor = Executor(bench.registry)

        async def perform(type: str, **options: Any) -> Any:
            plan, subject = bench.flow(type, **options)
            return await executor.execute(plan, subject, Dispatch("r", (subject.index,), 1, encode(None)))

        blocked = await perform("test.block", timeout_ms=20)
        while_blocked = executor.threads.abandoned
        worked = await perform("test.quick")
        go_on.set()
        await asyncio.to_thread(seen.wait)
        while executor.threads.abandoned:
            await asyncio.sleep(0)
        await executor.close()
        return [blocked.error.type, while_blocked, decode(worked.output)]

    assert asyncio.run(scenario()) == ["timeout", 1, "done"]


def test_a_completion_says_who_did_it_and_for_which_attempt(bench: Bench) -> None:
    clock = VirtualClock(start_ms=1_700_000_000_000)
    bench.services = Services(clock=clock)
    completion = bench.execute("std::set", None, {"values": 1}, attempt=4)
    assert (completion.run, completion.activation, completion.attempt, completion.worker) == ("run-1", (0,), 4, "w1")
    assert completion.at == 1_700_000_000_000
    assert completion.took_us >= 0

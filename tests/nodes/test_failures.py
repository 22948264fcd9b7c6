"""How own nodes fail: every way to go wrong has a name, and none takes the worker with it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.errors import NodeError, Permanent, Retry
from jetfleet.schemas.payload import encode
from jetfleet.workers import node
from jetfleet.workers.executor import Executor
from jetfleet.workers.spec import Mode

from .bench import Bench

SYNC: list[Mode] = ["thread", "inline"]


@pytest.mark.parametrize("mode", ["async", "thread", "inline"])
def test_an_exception_is_named_after_its_class(bench: Bench, mode: Mode) -> None:
    def fail(value: Any) -> None:
        raise KeyError("customer")

    async def fail_async(value: Any) -> None:
        fail(value)

    node("test.fail", mode=mode, registry=bench.registry)(fail_async if mode == "async" else fail)
    error = bench.error("test.fail", attempt=3)
    assert (error.type, error.retryable, error.node, error.attempts) == ("KeyError", True, "subject", 3)
    assert error.details["traceback"][-1].endswith('raise KeyError("customer")')


def test_a_node_error_decides_for_itself(bench: Bench) -> None:
    failures: dict[str, Exception] = {
        "declined": Permanent("no", type="card_declined", details={"code": 5}),
        "busy": Retry("later", after=1.5),
        "odd": NodeError("odd", details=object()),
    }

    @node("test.fail", registry=bench.registry)
    async def fail(value: str) -> None:
        raise failures[value]

    declined, busy, odd = (bench.execute("test.fail", name) for name in failures)
    assert declined.error is not None and busy.error is not None and odd.error is not None
    assert (declined.error.type, declined.error.retryable, declined.error.details) == ("card_declined", False, {"code": 5})
    assert (busy.error.type, busy.error.retryable, busy.retry_after_ms) == ("retry", True, 1_500)
    assert odd.error.details.startswith("<object")


@pytest.mark.parametrize("mode", SYNC)
@pytest.mark.parametrize(
    ("result", "reason"), [(lambda: None, "function"), (2**70, "ints"), (object(), "object")], ids=["function", "huge integer", "object"]
)
def test_an_unencodable_result_is_an_error(bench: Bench, mode: Mode, result: Any, reason: str) -> None:
    node("test.odd", mode=mode, registry=bench.registry)(_returning(result))
    error = bench.error("test.odd")
    assert (error.type, error.retryable) == ("unencodable", False)
    assert reason in error.message


def _returning(result: Any) -> Any:
    def odd(value: Any) -> Any:
        return result

    return odd


def test_a_result_that_contains_itself_is_an_error(bench: Bench) -> None:
    @node("test.cycle", registry=bench.registry)
    async def cycle(value: Any) -> Any:
        found: list[Any] = []
        found.append(found)
        return found

    assert bench.error("test.cycle").type == "unencodable"


@pytest.mark.parametrize("mode", SYNC)
def test_endless_recursion_is_an_error_with_a_short_traceback(bench: Bench, mode: Mode) -> None:
    def recurse(value: Any) -> Any:
        return recurse(value)

    node("test.recurse", mode=mode, registry=bench.registry)(recurse)
    error = bench.error("test.recurse")
    assert (error.type, error.retryable) == ("recursion", False)
    assert 0 < len(error.details["traceback"]) <= 8


@pytest.mark.parametrize("mode", SYNC)
def test_sys_exit_ends_the_attempt_and_not_the_worker(bench: Bench, mode: Mode) -> None:
    node("test.exit", mode=mode, registry=bench.registry)(lambda value: sys.exit(1))
    assert bench.error("test.exit").type == "exit"


def test_stop_iteration_ends_the_attempt(bench: Bench) -> None:
    @node("test.next", registry=bench.registry)
    def advance(value: Any) -> Any:
        return next(iter([]))

    assert bench.error("test.next").type == "StopIteration"


def test_a_group_of_one_exception_is_that_exception(bench: Bench) -> None:
    async def fail() -> None:
        raise LookupError("inner")

    @node("test.group", registry=bench.registry)
    async def group(value: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    assert bench.error("test.group").type == "LookupError"


def test_a_long_message_is_cut(bench: Bench) -> None:
    @node("test.long", registry=bench.registry)
    async def long(value: Any) -> None:
        raise ValueError("x" * 100_000)

    assert len(bench.error("test.long").message) == 500


def test_a_type_that_nobody_serves_is_an_error(bench: Bench) -> None:
    @node("test.gone", registry=bench.registry)
    async def gone(value: Any) -> None:
        return None

    plan, subject = bench.flow("test.gone")
    completion = Executor(Bench().registry).execute_inline(plan, subject, Dispatch("r", (subject.index,), 1, encode(None)))
    assert completion.error is not None
    assert (completion.error.type, completion.error.retryable) == ("unknown_node_type", False)

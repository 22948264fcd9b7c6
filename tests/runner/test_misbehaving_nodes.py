"""Whatever a node does, its attempt ends with a typed error, and the runner goes on to run the next flow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jetfleet.broker import engine
from jetfleet.schemas.errors import Permanent
from jetfleet.workers import Context, LocalRunner, NodeError, Out, Registry, local_run, node, run

from .scripts import Gate, flow, turns, until

FINE = flow({"a": "std::log"}, name="fine")
NODES = Path(__file__).parent / "process_nodes.py"


def cancel_itself() -> None:
    raise asyncio.CancelledError


def never() -> int:
    return never()


def raise_(error: BaseException) -> None:
    raise error


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


MISDEEDS = {
    "an exception": (lambda: 1 / 0, "ZeroDivisionError", True),
    "a node error": (lambda: raise_(NodeError("busy", type="bank_busy")), "bank_busy", True),
    "a permanent error": (lambda: raise_(Permanent("declined", type="card_declined")), "card_declined", False),
    "a result that has no bytes": (lambda: {"file": open(os.devnull)}, "unencodable", False),  # noqa: SIM115
    "a number that is too long": (lambda: 2**100, "unencodable", False),
    "a port that it does not have": (lambda: Out("side", 1), "unknown_port", False),
    "endless recursion": (never, "recursion", False),
    "an exception without a text": (lambda: raise_(Unspeakable()), "Unspeakable", True),
    "an interrupt that nobody has sent": (lambda: raise_(KeyboardInterrupt()), "KeyboardInterrupt", True),
    "sys.exit": (lambda: sys.exit(3), "exit", False),
    "out of memory": (lambda: raise_(MemoryError()), "out_of_memory", True),
    "a cancelled error": (cancel_itself, "cancelled", True),
    "stop iteration": (lambda: raise_(StopIteration()), None, True),
    "a group": (lambda: raise_(ExceptionGroup("many", [ValueError("one")])), "ValueError", True),
}


@pytest.mark.parametrize("mode", ["async", "thread", "inline"])
@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_misdeed_ends_the_attempt_with_a_typed_error_and_nothing_else(misdeed: str, mode: Any, registry: Registry) -> None:
    deed, type, retryable = MISDEEDS[misdeed]

    async def in_loop(value: Any) -> Any:
        return deed()

    def plainly(value: Any) -> Any:
        return deed()

    node("x.bad", mode=mode, registry=registry)(in_loop if mode == "async" else plainly)
    async with LocalRunner(registry=registry) as runner:
        bystander = runner.start(flow({"d": {"type": "std::wait", "config": {"signal": "go"}}}, name="bystander"))
        result = await runner.run(flow({"a": "x.bad"}))
        assert (result.status, result.error.node, result.error.retryable) == ("failed", "a", retryable)
        assert type is None or result.error.type == type
        assert result.error.message
        assert (await runner.run(FINE, 1)).output == 1
        bystander.signal("go")
        assert (await bystander.result()).completed


@pytest.mark.part("process pool")
@pytest.mark.parametrize(("type", "error"), [("proc.segfault", "process_died"), ("proc.spin", "timeout")])
async def test_a_process_that_dies_or_hangs_takes_only_its_attempt_with_it(type: str, error: str, registry: Registry) -> None:
    registry.load(str(NODES))
    async with LocalRunner(registry=registry) as runner:
        result = await runner.run(flow({"a": {"type": type, "timeout_ms": 400 if error == "timeout" else 30_000}}))
        assert (result.status, result.error.type) == ("failed", error)
        assert (await runner.run(flow({"a": "proc.where"}), [])).completed


async def test_a_thread_that_never_ends_holds_up_nobody(registry: Registry) -> None:
    @node("x.hang", registry=registry)
    def hang(value: Any, context: Context) -> None:
        while not context.cancelled:
            pass

    async with LocalRunner(registry=registry, slots=1) as runner:
        result = await runner.run(flow({"a": {"type": "x.hang", "timeout_ms": 20}}))
        assert result.error.type == "timeout"
        assert (await runner.run(FINE, 1)).output == 1


async def test_an_async_node_that_takes_too_long_is_cancelled_at_its_timeout(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        result = await runner.run(flow({"a": {"type": "x.gate", "timeout_ms": 20}}), 1)
    assert (result.error.type, gate.cancelled) == ("timeout", [1])


def stubborn(registry: Registry, errors: type[BaseException], calls: list[Any]) -> None:
    @node("x.stubborn", registry=registry)
    async def stubborn(value: Any) -> None:
        calls.append(value)
        while True:
            with contextlib.suppress(errors):
                await asyncio.get_running_loop().create_future()


async def test_an_async_node_that_swallows_its_cancellation_ends_at_its_timeout_and_frees_its_slot(registry: Registry) -> None:
    stubborn(registry, asyncio.CancelledError, calls := [])
    before = asyncio.all_tasks()
    async with LocalRunner(registry=registry, slots=1) as runner:
        result = await runner.run(flow({"a": {"type": "x.stubborn", "timeout_ms": 20}}), 1)
        assert (result.error.type, result.error.node, calls) == ("timeout", "a", [1])
        assert len(runner.slots.abandoned) == 1
        assert (await runner.run(flow({"a": {"type": "x.stubborn", "timeout_ms": 20}}), 2)).error.type == "timeout"
        assert calls == [1, 2], "there was a slot for the second one"
    assert asyncio.all_tasks() == before, "closing the runner has ended them"


async def test_closing_the_runner_does_not_wait_for_a_node_that_swallows_its_cancellation(registry: Registry) -> None:
    stubborn(registry, asyncio.CancelledError, calls := [])
    before = asyncio.all_tasks()
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.stubborn"}), 1)
        await until(lambda: bool(calls))
    assert (await run.result()).status == "killed"
    assert asyncio.all_tasks() == before


async def test_failed_attempts_are_logged_each_with_its_reason(registry: Registry) -> None:
    @node("x.fail", registry=registry)
    async def fail(value: Any) -> None:
        raise KeyError("gone")

    node("x.fine", registry=registry)(lambda value: value)
    again = {"type": "x.fail", "retry": {"max_attempts": 2, "initial_delay_ms": 1}}
    with capture_logs() as logs:
        await run(flow({"r": {"type": "x.fine", "compensate": "u"}, "u": "x.fail", "f": again}, "r -> f"), 1, registry=registry)
    assert [(line["log_level"], line["event"], line["node"], line["attempt"], line["error"]) for line in logs] == [
        ("warning", "an attempt failed", "f", 1, "KeyError"),
        ("warning", "an attempt failed", "f", 2, "KeyError"),
        ("warning", "a compensation failed", "u", 1, "KeyError"),
    ]
    assert (logs[2]["undoes"], logs[2]["message"]) == ("r", "'gone'")


async def test_input_of_the_wrong_type_names_the_field(registry: Registry) -> None:
    @node("x.typed", registry=registry)
    async def typed(value: dict[str, int]) -> None: ...

    result = await run(flow({"a": {"type": "x.typed", "retry": {"max_attempts": 5}}}), {"n": "many"}, registry=registry)
    assert (result.error.type, result.error.attempts) == ("invalid_input", 1)
    assert "`n`" in result.error.message


async def test_nodes_see_no_context_variables_of_each_other(registry: Registry) -> None:
    from contextvars import ContextVar

    mark: ContextVar[str] = ContextVar("mark", default="clean")

    @node("x.mark", registry=registry)
    async def leave(value: Any) -> str:
        found = mark.get()
        mark.set("dirty")
        return found

    result = await run(flow({"a": "x.mark", "b": "x.mark"}, "a -> b"), registry=registry)
    assert result.output == "clean"


# --- defects of our own


async def test_a_defect_of_the_engine_reaches_its_caller_and_no_other_run(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(run: engine.Run, record: Any) -> Any:
        if run.plan.name == "cursed":
            raise AssertionError("two and two are five")
        return engine.decide(run, record)

    monkeypatch.setattr(local_run, "decide", decide)
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        healthy = runner.start(flow({"a": "x.gate", "b": "std::log"}, "a -> b"), 1)
        cursed = runner.start(flow({"a": "x.gate", "b": {"type": "std::delay", "config": {"duration_ms": 9}}}, name="cursed"), 2)
        await gate.holds(2)
        gate.open()
        with pytest.raises(AssertionError, match="five"):
            await cursed.result()
        assert (await healthy.result()).output == 1
        assert (await runner.run(FINE, 3)).output == 3


async def test_a_defect_in_a_child_fails_the_node_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(plan: Any, *rest: Any) -> Any:
        if plan.name == "cursed":
            raise AssertionError("two and two are five")
        return engine.begin(plan, *rest)

    monkeypatch.setattr(local_run, "begin", begin)
    parent = flow({"c": {"type": "std::subflow", "config": {"flow": "cursed"}}})
    result = await run(parent, flows={"cursed": flow({"a": "std::log"}, name="cursed")})
    assert (result.status, result.error.type) == ("failed", "internal")


async def test_a_defect_of_the_executor_reaches_the_caller(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        monkeypatch.setattr(runner.executor, "execute", lambda *_: fail_outside())
        with pytest.raises(AssertionError, match="five"):
            await runner.run(flow({"a": "x.gate"}), 1)
        monkeypatch.undo()
        gate.open()
        assert (await runner.run(flow({"a": "x.gate"}), 2)).output == 2


async def fail_outside() -> None:
    await turns(1)
    raise AssertionError("two and two are five")

"""The engine and the in-process runner: time per node, memory per open run, growth with the size of plan and split.

Times are the median of several rounds, in microseconds per executed node, runs started and awaited one after the other. `bare` is what
the same nodes cost with no engine at all (decode, call, encode): quote a time together with its ratio to that, for
machines differ and so do their neighbours. Memory is what tracemalloc counts.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import statistics
import time
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from jetfleet.broker.engine import Run, begin, decide
from jetfleet.schemas.effects import Dispatch, FinishRun
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import decode, encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, RunStarted
from jetfleet.workers import LocalRunner, Registry, node

ROUNDS = 7
registry = Registry()


@node("bench.inline", mode="inline", registry=registry)
def inline(value: Any) -> Any:
    return {"n": value["n"] + 1} if isinstance(value, dict) else value


@node("bench.async", registry=registry)
async def asynchronous(value: Any) -> Any:
    return {"n": value["n"] + 1} if isinstance(value, dict) else value


EVENT = {"n": 0, "order": "A-10001", "customer": "c-7"}


def measure(scale: float) -> dict[str, Any]:
    return asyncio.run(_measure(scale))


async def _measure(scale: float) -> dict[str, Any]:
    bare = _bare(int(30_000 * scale))
    figures: dict[str, Any] = {"bare_us_per_node": round(bare, 2)}
    async with LocalRunner(registry=registry, keep=False) as runner:
        inline_chain = await _time(_runs(runner, chain("bench.inline", 3), EVENT, int(1_000 * scale)), int(1_000 * scale) * 3)
        figures["us_per_node"] = round(inline_chain, 2)
        figures["us_per_node_over_bare"] = round(inline_chain / bare, 1)
        map_chain = chain("std::map", 3, {"passthrough": True})
        figures["us_per_node_std_map"] = round(await _time(_runs(runner, map_chain, EVENT, int(1_000 * scale)), int(1_000 * scale) * 3), 2)
        async_chain = chain("bench.async", 3)
        figures["us_per_node_async"] = round(await _time(_runs(runner, async_chain, EVENT, int(500 * scale)), int(500 * scale) * 3), 2)
        for kind in ("inline", "async"):
            plan, event = split(f"bench.{kind}", 64), {"items": [{"n": i} for i in range(1_000)]}
            repeats = max(int(10 * scale), 1)
            figures[f"us_per_node_split_1000_{kind}"] = round(await _time(_runs(runner, plan, event, repeats), 1_002 * repeats), 2)
        figures["us_per_node_by_plan_size"] = await _by_plan_size(runner, scale)
    figures["engine_us_per_record"] = round(_engine_alone(int(10_000 * scale)), 2)
    figures["bytes_per_open_run"] = _bytes_per_open_run(max(int(10_000 * scale), 500))
    figures["bytes_per_open_item"] = _bytes_per_open_item(max(int(10_000 * scale), 500))
    figures.update(_large_split(int(100_000 * scale)))
    return figures


# --- flows


def chain(type: str, length: int, config: Any = None) -> Plan:
    """A chain of nodes of one type."""
    nodes = {f"n{i}": {"type": type, "config": config} for i in range(length)}
    edges = [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(length - 1)]
    settings = {"limits": {"nodes": 100_000, "edges": 100_000}}
    return compile_flow(Flow.model_validate({"name": "chain", "nodes": nodes, "edges": edges, "settings": settings}))


def split(type: str, max_parallel: int) -> Plan:
    """A split with a body of one node, and one node behind it."""
    nodes = {
        "each": {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": max_parallel}},
        "work": {"type": type},
        "done": {"type": type},
    }
    edges = [{"from": "each.item", "to": "work"}, {"from": "each.done", "to": "done"}]
    return compile_flow(Flow.model_validate({"name": "split", "nodes": nodes, "edges": edges}))


# --- time


def _bare(count: int) -> float:
    payload = encode(EVENT)

    def once() -> float:
        started = time.perf_counter()
        for _ in range(count):
            encode(inline(decode(payload)))
        return (time.perf_counter() - started) / count * 1e6

    return statistics.median(once() for _ in range(ROUNDS))


def _runs(runner: LocalRunner, plan: Plan, event: Any, count: int) -> Callable[[], Awaitable[None]]:
    async def repeat() -> None:
        for _ in range(count):
            result = await runner.run(plan, event)
            if not result.completed:
                raise RuntimeError(f"the benchmark's flow {plan.name} failed: {result.error}")

    return repeat


async def _time(work: Callable[[], Awaitable[None]], nodes: int) -> float:
    """Microseconds per node, the median of the rounds after one to warm up."""
    await work()
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await work()
        took.append((time.perf_counter() - started) / nodes * 1e6)
    return statistics.median(took)


async def _by_plan_size(runner: LocalRunner, scale: float) -> dict[str, float]:
    found = {}
    for size in (10, 100, 1_000, 10_000):
        plan, repeats = chain("bench.inline", size), max(int(3_000 * scale) // size, 1)
        found[str(size)] = round(await _time(_runs(runner, plan, EVENT, repeats), size * repeats), 2)
    return found


def _engine_alone(count: int) -> float:
    """Microseconds per record of the pure engine: no runner, no node, no clock."""
    plan, payload = chain("bench.inline", 3), encode(EVENT)

    def once() -> float:
        started = time.perf_counter()
        for number in range(count):
            _drive(plan, f"run-{number}", payload)
        return (time.perf_counter() - started) / (count * 4) * 1e6

    return statistics.median(once() for _ in range(ROUNDS))


def _drive(plan: Plan, id: str, payload: bytes) -> None:
    run, effects = begin(plan, RunStarted(id, 1, plan.name, plan.digest, None, payload))
    while not isinstance(effect := effects[0], FinishRun):
        assert isinstance(effect, Dispatch)
        effects = decide(run, Completion(id, 2, effect.activation, effect.attempt, "out", payload))


# --- memory


def _bytes_per_open_run(count: int) -> int:
    """Runs of a three-node chain with two nodes done and the third one's task out, in a dict by their ids."""
    plan, payload = chain("bench.inline", 3), encode(EVENT)
    runs: dict[str, Run] = {}
    before = _traced()
    for number in range(count):
        # Each run owns its bytes, as it would if they had come over the wire.
        id = f"chain-{number:012x}"
        run, effects = begin(plan, RunStarted(id, 1, plan.name, plan.digest, None, bytes(bytearray(payload))))
        for _ in range(2):
            (effect,) = effects
            assert isinstance(effect, Dispatch)
            effects = decide(run, Completion(id, 2, effect.activation, effect.attempt, "out", bytes(bytearray(payload))))
        runs[id] = run
    del effects, effect, run
    return round((_traced() - before) / count)


def _bytes_per_open_item(count: int) -> int:
    """Items of one split, all of them open at once, each with its task out."""
    plan, payload = split("bench.inline", count), encode({"items": [{"n": i} for i in range(count)]})
    before = _traced()
    run, effects = begin(plan, RunStarted("split", 1, plan.name, plan.digest, None, payload))
    assert len(effects) == count
    del effects
    used = (_traced() - before) / count
    assert not run.ended
    return round(used)


def _large_split(count: int) -> dict[str, Any]:
    """A split of very many items, 64 at a time: the most memory that it ever held beyond its input, and its open instances."""
    plan, payload = split("bench.inline", 64), encode({"items": [{"n": i} for i in range(count)]})
    before = _traced()
    tracemalloc.reset_peak()
    run, effects = begin(plan, RunStarted("split", 1, plan.name, plan.digest, None, payload))
    most, waiting = 0, deque(effects)
    while waiting:
        effect = waiting.popleft()
        if isinstance(effect, Dispatch):
            waiting.extend(decide(run, Completion("split", 2, effect.activation, effect.attempt, "out", effect.input)))
            most = max(most, len(waiting))
    peak = tracemalloc.get_traced_memory()[1] - before
    assert run.status == "completed" and len(decode(run.output)) == count
    return {
        "large_split_items": count,
        "large_split_open_max": most,
        "large_split_peak_bytes_per_item": round(peak / count, 1),
        "large_split_input_bytes_per_item": round(len(payload) / count, 1),
    }


def _traced() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# --- where the time goes


def profile() -> None:
    """A profile of the three-node chain of inline nodes."""

    async def work() -> None:
        plan = chain("bench.inline", 3)
        async with LocalRunner(registry=registry, keep=False) as runner:
            repeat = _runs(runner, plan, EVENT, 5_000)
            await repeat()
            profiler = cProfile.Profile()
            profiler.enable()
            await repeat()
            profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

    asyncio.run(work())

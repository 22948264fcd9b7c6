"""F19: nodes that crash, exit, hoard, spin, hang, fork and put out too much: their runs fail with a reason, and no other one is touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from .. import flows
from ..evidence import Evidence
from ..judge import judge
from ..outcome import Outcome
from ..poison_nodes import ARENA_RUN_BYTES
from ..registry import Settings
from ..world import WORKER, Shape, World, world

EACH, EACH_QUICK = 5, 1
POISONS = {
    "segfault": "process_died",
    "leave": "poison_task",
    "hoard": "memory_error",
    "spin": "timeout",
    "hang": "timeout",
    "deaf": "timeout",
    "huge": "run_too_large",
    "fork": "timeout",
}
"""What a node does, and the error that its run ends with."""
NODES = str(Path(__file__).parents[1] / "poison_nodes.py")
RATE = 40
CALM_RUNS = 150
POISON_S = 120


async def play(settings: Settings) -> Outcome:
    each = settings.count(EACH, EACH_QUICK)
    options = {WORKER: ("--arena-run-max", str(ARENA_RUN_BYTES), "--processes", "2")}
    async with world(Shape(rate=RATE, nodes=(flows.NODES, NODES), options=options, readers=0), settings.seed) as one:
        await one.deploy(*(flows.flow(f"p-{name}", {"n0": {"type": f"w.{name}"}}, []) for name in POISONS))
        one.publish()
        await one.ended(CALM_RUNS)
        poisoned_ns = one.now_ns()
        runs = await _poison(one, each)
        await one.watcher.until(lambda: runs.keys() <= one.watcher.ends.keys(), "the ends of the poisoned", POISON_S)
        bystanders = await one.settle()
        for fact in one.ledger.account().acked:
            one.ledger.expected(fact.run, "failed" if fact.run in runs else "completed")
        outcome = await judge("poison", each * len(POISONS), one)
        evidence = await one.evidence()
    assert not bystanders or not outcome.ok
    outcome.complaints += _wrong_reasons(evidence, runs)
    outcome.notes.append(_latencies(evidence, one, runs, poisoned_ns))
    return outcome


async def _poison(one: World, each: int) -> dict[str, str]:
    """The runs that must fail, by what is wrong with them."""
    runs = {}
    for name in POISONS:
        for number in range(each):
            key = f"p-{name}/{number}"
            one.ledger.fault(name)
            run = await one.client.send(f"p-{name}", {"n": number}, id=key)
            one.ledger.acked(key, run)
            runs[run] = name
    return runs


def _wrong_reasons(evidence: Evidence, runs: dict[str, str]) -> list[str]:
    found = []
    for run, name in runs.items():
        summary = evidence.ends.get(run)
        reason = "" if summary is None or summary.error is None else summary.error.type
        if reason != POISONS[name]:
            found.append(f"{run} ended with {reason!r}, not with {POISONS[name]!r}: {summary and summary.error}")
    return found


def _latencies(evidence: Evidence, one: World, runs: dict[str, str], poisoned_ns: int) -> str:
    """How long the others took from their acknowledgement to their end, before the poison and after."""
    calm: list[float] = []
    after: list[float] = []
    for fact in evidence.account.acked:
        end = one.watcher.ends.get(fact.run)
        if end is not None and fact.run not in runs and fact.run.startswith(flows.CHAIN):
            (calm if end.at_ns < poisoned_ns else after).append((end.at_ns - fact.at_ns) / 1e6)
    before_ms, after_ms = _p99(calm), _p99(after)
    return f"others took {before_ms:.0f} ms before (p99, n = {len(calm)}), {after_ms:.0f} ms among poison (n = {len(after)}): × {after_ms / before_ms:.1f}"


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]

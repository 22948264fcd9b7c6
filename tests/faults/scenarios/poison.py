"""F19: nodes that crash, exit, hoard, spin, hang, fork and put out too much: their runs fail with a reason, and no other one is touched."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from math import ceil
from pathlib import Path

from .. import flows
from ..evidence import Evidence
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import WORKER, Shape, World, world

EACH, EACH_QUICK = 5, 1
APART = {
    "segfault": "process_died",
    "exit": "process_died",
    "hoard": "process_died",
    "spin": "timeout",
    "hang": "timeout",
    "deaf": "timeout",
    "huge": "run_too_large",
    "fork": "timeout",
}
"""What a node of mode `process`, as hostile code should be, does, and the error that its run ends with. One of them waits in the loop."""
INSIDE = {"leave": "poison_task"}
"""The same of nodes in the worker's own process: they take it with them, and everything that it has in work."""
NODES = str(Path(__file__).parents[1] / "poison_nodes.py")
ARENA_RUN_BYTES = 16 << 20
"""What one run may take of the arena: a quarter of what one node puts out."""
RATE = 40
OTHERS = (flows.CHAIN, flows.CHAIN, flows.CHAIN, flows.FAN, flows.SIGNALLED)
WARM_RUNS, CALM_RUNS = 60, 400
POISON_S = 300
HARM_MAX = 3.0
"""Times its usual length may another's chain take, at the 99th percentile, while poison is kept apart."""


async def play(settings: Settings) -> Outcome:
    each = settings.count(EACH, EACH_QUICK)
    options = {WORKER: ("--arena-run-max", str(ARENA_RUN_BYTES), "--processes", "2")}
    shape = Shape(rate=RATE, mix=OTHERS, nodes=(flows.NODES, NODES), options=options, readers=0, triggers=0)
    async with world(shape, settings.seed) as one:
        await one.deploy(*(flows.flow(f"p-{name}", {"n0": {"type": f"w.{name}"}}, []) for name in APART | INSIDE))
        one.publish()
        await one.ended(WARM_RUNS)
        calm = await _window(one, one.ended(WARM_RUNS + CALM_RUNS))
        poisoned: dict[str, str] = {}
        among = {name: await _window(one, _poison(one, name, each, poisoned)) for name in APART | INSIDE}
        await one.settle()
        for fact in one.ledger.account().acked:
            one.ledger.expected(fact.run, "failed" if fact.run in poisoned else "completed")
        outcome = await judge("poison", each * len(among), one)
        evidence = await one.evidence()
    outcome.complaints += _wrong_reasons(evidence, poisoned)
    _compare(outcome, _chains_ms(evidence, one, calm), {name: _chains_ms(evidence, one, window) for name, window in among.items()})
    return outcome


async def _window(one: World, work: Awaitable[None]) -> tuple[int, int]:
    """From when to when it lasted. Returns when all has ended that began meanwhile, so that the next one finds no traces of it."""
    began_ns = one.now_ns()
    await work
    ended_ns, open = one.now_ns(), one.open_runs()
    await one.watcher.until(lambda: open <= one.watcher.ends.keys(), "the ends of what began among poison", POISON_S)
    return began_ns, ended_ns


async def _poison(one: World, name: str, each: int, poisoned: dict[str, str]) -> None:
    """Let runs begin that must fail, one after the other, and wait for their ends. `poisoned`: what is wrong with each."""
    for number in range(each):
        key = f"p-{name}/{number}"
        one.ledger.fault(name)
        run = await one.client.send(f"p-{name}", {"n": number}, id=key)
        one.ledger.acked(key, run)
        poisoned[run] = name
        await one.watcher.until(lambda run=run: run in one.watcher.ends, f"the end of a run of p-{name}", POISON_S)


def _wrong_reasons(evidence: Evidence, runs: dict[str, str]) -> list[str]:
    found = []
    for run, name in runs.items():
        summary = evidence.ends.get(run)
        reason = "" if summary is None or summary.error is None else summary.error.type
        if reason != (APART | INSIDE)[name]:
            found.append(f"{run} ended with {reason!r}, not with {(APART | INSIDE)[name]!r}: {summary and summary.error}")
    return found


def _chains_ms(evidence: Evidence, one: World, window: tuple[int, int]) -> list[float]:
    """How long the others' chains took that were acknowledged within the window, from then to their end."""
    began_ns, ended_ns = window
    return [
        (one.watcher.ends[fact.run].at_ns - fact.at_ns) / 1e6
        for fact in evidence.account.acked
        if fact.run.startswith(flows.CHAIN) and fact.run in one.watcher.ends and began_ns <= fact.at_ns < ended_ns
    ]


def _compare(outcome: Outcome, calm_ms: list[float], among_ms: Mapping[str, list[float]]) -> None:
    """Others' chains among poison and without it; a complaint if poison in processes of its own was felt too much."""
    apart_ms = [each for name in APART for each in among_ms[name]]
    outcome.notes += [
        f"others' chains, p99: {_p99(calm_ms):.0f} ms undisturbed (n = {len(calm_ms)})",
        f"… among poison in processes: {_told(apart_ms, calm_ms)}",
        *(f"… beside `{name}`{' in the worker' if name in INSIDE else ''}: {_told(each, calm_ms)}" for name, each in among_ms.items()),
    ]
    if (harm := _p99(apart_ms) / _p99(calm_ms)) > HARM_MAX:
        outcome.complaints.append(f"I12: others' chains took {harm:.1f} times as long at p99 while poison had processes of its own")


def _told(found_ms: list[float], calm_ms: list[float]) -> str:
    return f"{_p99(found_ms):.0f} ms (n = {len(found_ms)}, × {_p99(found_ms) / _p99(calm_ms):.1f})"


def _p99(values: Sequence[float]) -> float:
    """0 of none."""
    ordered = sorted(values)
    return ordered[ceil(len(ordered) * 0.99) - 1] if ordered else 0.0

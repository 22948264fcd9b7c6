"""F19: nodes that crash, exit, hoard, spin, hang, fork and put out too much: their runs fail with a reason, and no other one is touched."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from statistics import quantiles

from .. import flows
from ..evidence import Evidence
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import WORKER, Shape, World, world

EACH, EACH_QUICK = 5, 1
POISONS = {
    "segfault": "process_died",
    "leave": "poison_task",
    "hoard": "process_died",
    "spin": "timeout",
    "hang": "timeout",
    "deaf": "timeout",
    "huge": "run_too_large",
    "fork": "timeout",
}
"""What a node does, and the error that its run ends with."""
FATAL = ("leave",)
"""Those that take the whole worker with them."""
NODES = str(Path(__file__).parents[1] / "poison_nodes.py")
ARENA_RUN_BYTES = 16 << 20
"""What one run may take of the arena: a quarter of what one node puts out."""
RATE = 40
WARM_RUNS, CALM_RUNS = 60, 300
POISON_S = 120


async def play(settings: Settings) -> Outcome:
    each = settings.count(EACH, EACH_QUICK)
    options = {WORKER: ("--arena-run-max", str(ARENA_RUN_BYTES), "--processes", "2")}
    async with world(Shape(rate=RATE, nodes=(flows.NODES, NODES), options=options, readers=0), settings.seed) as one:
        await one.deploy(*(flows.flow(f"p-{name}", {"n0": {"type": f"w.{name}"}}, []) for name in POISONS))
        one.publish()
        await one.ended(WARM_RUNS)
        windows = [await _window(one, one.ended(WARM_RUNS + CALM_RUNS))]
        poisoned: dict[str, str] = {}
        for names in (POISONS.keys() - set(FATAL), FATAL):
            windows.append(await _window(one, _poison(one, sorted(names), each, poisoned)))
        await one.settle()
        for fact in one.ledger.account().acked:
            one.ledger.expected(fact.run, "failed" if fact.run in poisoned else "completed")
        outcome = await judge("poison", each * len(POISONS), one)
        evidence = await one.evidence()
    outcome.complaints += _wrong_reasons(evidence, poisoned)
    outcome.notes.append(_latencies(evidence, one, windows))
    return outcome


async def _window(one: World, work: Awaitable[None]) -> tuple[int, int]:
    """From when to when it lasted. Returns when all has ended that began meanwhile, so that the next one finds no traces of it."""
    began_ns = one.now_ns()
    await work
    ended_ns, open = one.now_ns(), one.open_runs()
    await one.watcher.until(lambda: open <= one.watcher.ends.keys(), "the ends of what began among poison", POISON_S)
    return began_ns, ended_ns


async def _poison(one: World, names: Iterable[str], each: int, poisoned: dict[str, str]) -> None:
    """Let runs begin that must fail, each of a moment of its own, and wait for their ends. `poisoned`: what is wrong with each."""
    for number in range(each):
        for name in names:
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
        if reason != POISONS[name]:
            found.append(f"{run} ended with {reason!r}, not with {POISONS[name]!r}: {summary and summary.error}")
    return found


def _latencies(evidence: Evidence, one: World, windows: Sequence[tuple[int, int]]) -> str:
    """How long the others' chains took from their acknowledgement to their end, in each window."""
    found: list[list[float]] = [[] for _ in windows]
    for fact in evidence.account.acked:
        end = one.watcher.ends.get(fact.run)
        if end is not None and fact.run.startswith(flows.CHAIN):
            for place, (began_ns, ended_ns) in enumerate(windows):
                if began_ns <= fact.at_ns < ended_ns:
                    found[place].append((end.at_ns - fact.at_ns) / 1e6)
    calm_ms = _p99(found[0])
    words = [f"{_p99(each):.0f} ms (n = {len(each)}, × {_p99(each) / calm_ms:.1f})" for each in found[1:]]
    return f"others' chains, p99: {calm_ms:.0f} ms undisturbed (n = {len(found[0])}); among poison {words[0]}; while workers die of it {words[1]}"


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]

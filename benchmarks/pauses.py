"""How long the garbage collector stops a coordinator that holds many awake runs, while they become so many and once they are.

A flow of three nodes; each run has begun, and its first task is out. `python`: with Python's own settings; `ours`: with those of a
coordinator (broker/garbage.py). `longest_s` is the longest pause while the runs began; `full_s` one full collection after that, and
`again_s` the next, in seconds of the processor. Each case is measured in a process of its own.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from typing import Any

from jetfleet.broker.coordinator.open_run import OpenRun
from jetfleet.broker.engine import begin
from jetfleet.broker.garbage import collect_rarely, freeze_what_lasts
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import RunStarted

RUNS = 500_000


class Pauses:
    """Of the collections since it was put among `gc.callbacks`."""

    def __init__(self) -> None:
        self.longest_s = self._began_s = 0.0

    def __call__(self, phase: str, about: dict[str, Any]) -> None:
        if phase == "start":
            self._began_s = time.thread_time()
        else:
            self.longest_s = max(self.longest_s, time.thread_time() - self._began_s)


def measure(scale: float) -> dict[str, Any]:
    runs = int(RUNS * scale)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {"runs": runs, "python": pool.apply(_case, (runs, False)), "ours": pool.apply(_case, (runs, True))}


def _case(runs: int, ours: bool) -> dict[str, float]:
    if ours:
        collect_rarely()
        freeze_what_lasts()
    pauses = Pauses()
    gc.callbacks.append(pauses)
    held = _begun(runs)
    longest_s = pauses.longest_s
    full_s, again_s = _collection(), _collection()
    assert len(held) == runs
    return {"longest_s": round(longest_s, 3), "full_s": round(full_s, 3), "again_s": round(again_s, 3)}


def _begun(runs: int) -> dict[str, OpenRun]:
    chain = {name: {"type": f"bench.{name}"} for name in ("first", "second", "third")}
    edges = [{"from": "go", "to": "first"}, {"from": "first", "to": "second"}, {"from": "second", "to": "third"}]
    plan = compile_flow(
        Flow.model_validate({"name": "chain", "triggers": [{"id": "go", "type": "manual"}], "nodes": chain, "edges": edges})
    )
    held = {}
    for number in range(runs):
        started = RunStarted(f"chain-{number:016x}", number, "chain", plan.digest, "go", encode({"n": number}))
        state, _ = begin(plan, started)
        held[started.run] = OpenRun.begun(state, number)
    return held


def _collection() -> float:
    began_s = time.thread_time()
    gc.collect()
    return time.thread_time() - began_s

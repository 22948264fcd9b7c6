"""What runs in a simulation: flows made by the seed, of which an interpreter without a line of the engine's code says how they must end.

Trees and interpreter are those of the engine's own tests (`tests/engine/programs.py`, `reference.py`). Here their tasks are nodes that
workers execute, inline or in slots, quickly or slowly; their waits take seconds; their sub-flows are runs of a flow of their own.

An activation's n-th attempt is its n-th execution as the interpreter counts: whatever is executed once more because something died has the
number of the attempt that it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from ...engine.making import Maker
from ...engine.programs import Choice, Loop, Parallel, Program, Seq, Split, Task, Try, Wait, blocks, definition, tasks

Value = TypeVar("Value")
VALUES: tuple[Any, ...] = ({"n": 5, "items": [{"n": 1}, {"n": 95}]}, {"n": 60, "items": []}, {"n": 99, "items": [{"n": 50}] * 5}, {"n": 30})
CHILD = "child"
"""The flow of all sub-flows: one node, which does the work of the task that it was started for."""
NO_BREAKER = {"circuit_breaker_threshold": 1.0}
"""Flows here fail on purpose."""
_OURS = {"x.rescue": "sim.rescue", "x.undo": "sim.undo"}


class Drawn:
    """Choices by a seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def integer(self, least: int, most: int) -> int:
        return self._chance.randint(least, most)

    def one_of(self, values: Sequence[Value]) -> Value:
        return self._chance.choice(values)


@dataclass(frozen=True)
class SimulatedFlow:
    """`definition` is what is deployed; `at_once`: how many runs its own limit lets begin, 0: all; `waits_s`: the longest of its timers."""

    name: str
    program: Program
    definition: dict[str, Any]
    at_once: int = 0
    waits_s: float = 0.0

    @property
    def waits(self) -> dict[str, Wait]:
        return {block.id: block for block in blocks(self.program.root) if isinstance(block, Wait)}

    @property
    def tasks(self) -> dict[str, Task]:
        return {task.id: task for task in tasks(self.program.root)}


def make_flows(chance: Random, count: int) -> list[SimulatedFlow]:
    """A few flows, each of another kind as far as there are kinds."""
    kinds = [_random, _random, _chain, _limited, _sleepy, _family, _wide]
    return [chance.choice(kinds)(chance, f"f{number}") for number in range(count)]


def child_flow() -> dict[str, Any]:
    """What is deployed for sub-flows."""
    return {"name": CHILD, "nodes": {"work": {"type": "sim.child"}}, "settings": NO_BREAKER}


# --- kinds


def _random(chance: Random, name: str) -> SimulatedFlow:
    maker = Maker(Drawn(chance))
    return _flow(chance, name, maker.program(chance.choice((2, 2, 3))))


def _chain(chance: Random, name: str) -> SimulatedFlow:
    return _flow(chance, name, Program(Seq(tuple(Task(f"t{place}") for place in range(chance.randint(2, 5))))))


def _limited(chance: Random, name: str) -> SimulatedFlow:
    """As many runs at a time as its limit says."""
    program = Program(Seq((Task("t1"), Task("t2", fails=chance.randint(0, 1), attempts=2))))
    return _flow(chance, name, program, at_once=chance.randint(1, 2))


def _sleepy(chance: Random, name: str) -> SimulatedFlow:
    """Waits of all kinds, one after the other and at once."""
    branches = (
        Wait("w1", "delay"),
        Wait("w2", "signal"),
        Seq((Wait("w3", "approval", chance.choice(("approve", "reject")), "r3"), Task("t4"))),
    )
    program = Program(Seq((Task("t1"), Parallel("m5", branches, "all"), Wait("w6", "timeout"), Task("t7"))))
    return _flow(chance, name, program)


def _family(chance: Random, name: str) -> SimulatedFlow:
    """Sub-flows in a row, in a loop, and for each item."""
    body = Seq((Task("t4", child=True), Task("t5")))
    child = Task("t1", fails=chance.randint(0, 2), attempts=2, child=True, undo="u2")
    loop = Loop("l6", Task("t7", child=True), chance.randint(1, 2), 90)
    return _flow(chance, name, Program(Seq((child, Split("x3", body, "parallel", 2, "skip"), loop, Task("t8")))))


def _wide(chance: Random, name: str) -> SimulatedFlow:
    """A guarded fan-out, tried again, with work that has to be undone."""
    branches = tuple(Task(f"t{place}", undo=f"u{place}") for place in range(2, chance.randint(4, 7)))
    body = Seq((Task("g1", fails=chance.randint(0, 2)), Parallel("m9", branches, "all"), Choice("c10", 40, Task("t11", picky=True), None)))
    return _flow(chance, name, Program(Seq((Try("y12", body, "r13", 2, "reverse"), Task("t14")))))


# --- writing them


def _flow(chance: Random, name: str, program: Program, *, at_once: int = 0) -> SimulatedFlow:
    page = definition(program)
    page["name"] = name
    page["settings"] |= NO_BREAKER
    if at_once:
        page["settings"]["concurrency"] = {"max": at_once}
    found = {task.id: task for task in tasks(program.root)}
    mode = chance.choice(("sim.inline", "sim.slow", "either"))
    longest = 0.0
    for id, node in page["nodes"].items():
        if node["type"] == "x.task":
            task = found.get(id, Task(id))
            node["type"] = chance.choice(("sim.inline", "sim.slow")) if mode == "either" else mode
            node["config"] = {"fails": task.fails, "picky": task.picky}
        elif node["type"] == "std::subflow":
            node["config"]["flow"] = CHILD
        elif node["type"] in ("std::delay", "std::wait"):
            longest = max(longest, _prolong(node["config"], chance))
        node["type"] = _OURS.get(node["type"], node["type"])
    return SimulatedFlow(name, program, page, at_once, longest)


def _prolong(config: dict[str, Any], chance: Random) -> float:
    """Let a wait take long enough for something to happen meanwhile. How long, in seconds."""
    for key in ("duration_ms", "timeout_ms"):
        if key in config:
            config[key] = chance.choice((30, 400, 2_000, 9_000))
            return float(config[key]) / 1_000
    return 0.0

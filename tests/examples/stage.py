"""The stage on which the pattern examples are played: the real runner in virtual time, from moment 0 on.

A test plays an example with an event and a script, `{moment_ms: what happens then}`, and looks at what has come of each node. Work done by
`patterns.work` tells when it began and ended, so that order and overlap can be asserted; the times are virtual and exact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jetfleet.schemas.payload import decode
from jetfleet.workers import LocalRun, LocalRunner, Registry, RunResult, VirtualClock

PATTERNS = Path(__file__).parents[2] / "examples" / "patterns"
FLOWS = sorted(PATTERNS.glob("*.yaml"))

Action = Callable[[LocalRun], None]
Interval = tuple[int, int]


class Played:
    """What has come of a run."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self.status = result.status
        self.nodes = result.nodes()

    @property
    def output(self) -> Any:
        return self.result.output

    @property
    def duration(self) -> int:
        return self.result.ended_at

    def of(self, name: str) -> str:
        """The status of a node; `skipped` too for an item that never came to be."""
        return self.nodes[name].status if name in self.nodes else "skipped"

    def value(self, name: str) -> Any:
        payload = self.nodes[name].output
        return None if payload is None else decode(payload)

    def time(self, name: str) -> Interval:
        """When the work of a node began and ended."""
        return self.value(name)["began"], self.value(name)["ended"]

    def items(self, name: str, status: str = "completed") -> list[str]:
        """The activations of a node in a loop or split that ended like that, in order."""
        return [key for key, view in self.nodes.items() if key.startswith(f"{name}[") and view.status == status]


def overlap(one: Interval, other: Interval) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def signal(name: str, value: Any = None) -> Action:
    return lambda run: run.signal(name, value)


def play(example: str, event: Any = None, script: Mapping[int, Action] | None = None) -> Played:
    """Run the example in that file (its name without the suffix)."""
    return asyncio.run(_play(file_of(example), event, script or {}))


def file_of(example: str) -> Path:
    return next(file for file in FLOWS if file.stem == example)


def registry() -> Registry:
    found = Registry()
    found.load(str(PATTERNS / "nodes.py"))
    return found


async def _play(file: Path, event: Any, script: Mapping[int, Action]) -> Played:
    clock = VirtualClock(0)
    flows = {name_of(sibling): sibling for sibling in FLOWS}
    async with LocalRunner(registry=registry(), clock=clock, flows=flows, unattended=True) as runner:
        run = runner.start(file, event)
        for moment, action in script.items():
            if moment == 0:
                action(run)
            else:
                clock.call_at(moment, lambda action=action: action(run))
        return Played(await run.result())


def name_of(file: Path) -> str:
    return next(line.removeprefix("name: ") for line in file.read_text().splitlines() if line.startswith("name: "))

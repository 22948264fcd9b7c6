"""What the runner's tests share: short ways to write a flow, and nodes that can be observed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from jetfleet.workers import LocalRun, Registry, RunResult, node


def flow(nodes: Mapping[str, Any], *edges: str, **blocks: Any) -> dict[str, Any]:
    """A flow as data. A node is its type, or a map; an edge is written `a -> b` or `a.port -> b`."""
    return {
        "name": "f",
        "nodes": {id: {"type": one} if isinstance(one, str) else one for id, one in nodes.items()},
        "edges": [dict(zip(("from", "to"), edge.split(" -> "), strict=True)) for edge in edges],
        **blocks,
    }


def statuses(result: RunResult) -> dict[str, str]:
    return {key: view.status for key, view in result.nodes().items()}


async def turns(count: int = 20) -> None:
    """Let everything that can happen at the present moment happen."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    while not holds():
        await asyncio.sleep(0)


async def until_waiting(run: LocalRun, *names: str) -> None:
    """Until the run waits for exactly these approvals, signals and events."""
    await until(lambda: {wait.name for wait in run.awaiting.values()} == set(names))


class Gate:
    """A node `x.gate` whose attempts wait inside until the gate is opened."""

    def __init__(self, registry: Registry, name: str = "x.gate") -> None:
        self.inside: list[Any] = []
        self.cancelled: list[Any] = []
        self.most = 0
        self._opened = asyncio.Event()

        @node(name, registry=registry)
        async def gate(value: Any) -> Any:
            self.inside.append(value)
            self.most = max(self.most, len(self.inside))
            try:
                await self._opened.wait()
            except asyncio.CancelledError:
                self.cancelled.append(value)
                raise
            finally:
                self.inside.remove(value)
            return value

    def open(self) -> None:
        self._opened.set()

    async def holds(self, count: int) -> None:
        """Until that many attempts are inside, and no more come."""
        await until(lambda: len(self.inside) >= count)
        await turns()
        assert len(self.inside) == count

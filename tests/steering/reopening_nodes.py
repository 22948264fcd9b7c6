"""The nodes of the flows that are reopened. Each execution leaves a line in the file `log` of the event; files decide what fails and waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, NodeError, node


def executed(log: Path) -> list[str]:
    """The names under which nodes were executed, in order."""
    return log.read_text().split() if log.exists() else []


def _leave_a_line(log: str, name: str) -> None:
    with open(log, "a") as file:
        file.write(f"{name}\n")


@node("r.step")
async def step(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Fails as long as the file `broken` exists; waits for the file `gate`, where one is named."""
    _leave_a_line(value["log"], context.node)
    if value.get("broken") and Path(value["broken"]).exists():
        raise NodeError("it is broken", type="broken", retryable=False)
    while value.get("gate") and not Path(value["gate"]).exists():
        await asyncio.sleep(0.01)
    return value


@node("r.plain", mode="inline")
def plain(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Never fails, and counts: `n` is one more."""
    _leave_a_line(value["log"], context.node)
    return value | {"n": value.get("n", 0) + 1}


@node("r.items", mode="inline")
def items(value: dict[str, Any], context: Context) -> list[dict[str, Any]]:
    _leave_a_line(value["log"], context.node)
    return [value | {"n": number} for number in range(3)]


@node("r.item", mode="inline")
def item(value: dict[str, Any], context: Context) -> int:
    _leave_a_line(value["log"], f"{context.node}{value['n']}")
    return int(value["n"]) * 10

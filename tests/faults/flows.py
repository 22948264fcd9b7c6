"""The flows that the load is made of: a chain, a fan-out, a timer, a signal, a child, a webhook. Each node leaves an effect in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .noting import LEDGER

NODES = str(Path(__file__).with_name("effects.py"))
WORK, INLINE = {"type": "w.work"}, {"type": "w.inline"}
CHAIN, FAN, TIMED, SIGNALLED, PARENT, HOOKED = "f-chain", "f-fan", "f-timed", "f-signalled", "f-parent", "f-hooked"
SIGNAL = "go"
ITEMS = 6
TIMER_MS = 250
HOOK_PATH = "/in"


def flow(name: str, nodes: dict[str, Any], edges: Sequence[str], trigger: dict[str, Any] | None = None) -> dict[str, Any]:
    first = next(iter(nodes))
    ends = [edge.split(" -> ") for edge in edges]
    return {
        "name": name,
        "triggers": [{"id": "go", "type": "manual"} if trigger is None else trigger],
        "nodes": nodes,
        "edges": [{"from": "go" if trigger is None else trigger["id"], "to": first}, *({"from": a, "to": b} for a, b in ends)],
    }


def chain(name: str = CHAIN, length: int = 3) -> dict[str, Any]:
    nodes = {f"n{place}": INLINE if place == 1 else WORK for place in range(length)}
    return flow(name, nodes, [f"n{place} -> n{place + 1}" for place in range(length - 1)])


def fan(name: str = FAN, max_parallel: int = ITEMS) -> dict[str, Any]:
    split = {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": max_parallel}}
    return flow(name, {"each": split, "item": WORK, "last": WORK}, ["each.item -> item", "each.done -> last"])


def timed() -> dict[str, Any]:
    nodes = {"before": WORK, "pause": {"type": "std::delay", "config": {"duration_ms": TIMER_MS}}, "after": WORK}
    return flow(TIMED, nodes, ["before -> pause", "pause -> after"])


def signalled() -> dict[str, Any]:
    nodes = {"before": WORK, "wait": {"type": "std::wait", "config": {"signal": SIGNAL}}, "after": WORK}
    return flow(SIGNALLED, nodes, ["before -> wait", "wait -> after"])


def parent() -> dict[str, Any]:
    nodes = {"before": WORK, "call": {"type": "std::subflow", "config": {"flow": CHAIN}}, "after": WORK}
    return flow(PARENT, nodes, ["before -> call", "call -> after"])


def hooked(port: int) -> dict[str, Any]:
    params = {"host": "127.0.0.1", "port": port, "path": HOOK_PATH}
    nodes = {"first": WORK, "second": WORK}
    return flow(HOOKED, nodes, ["first -> second"], {"id": "in", "type": "webhook", "params": params})


def with_ledger(definition: dict[str, Any], ledger: Path, **settings: Any) -> dict[str, Any]:
    """The flow as it is deployed. `settings`: further ones."""
    given = {"max_concurrent_executions": 1_000_000, "env": {LEDGER: str(ledger)}, **settings}
    return {**definition, "settings": {**definition.get("settings", {}), **given}}


def payload(number: int) -> dict[str, Any]:
    return {"n": number, "items": list(range(ITEMS))}

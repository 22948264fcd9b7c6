"""What a world consists of, and what can happen to one of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import flows, publisher

COORDINATOR, WORKER, READER, TRIGGER, PUBLISHER, SERVER = "coordinator", "worker", "reader", "trigger", "publisher", "server"
ROLES = (SERVER, COORDINATOR, WORKER, READER, TRIGGER, PUBLISHER)
_OWNER = "jetfleet.broker.coordinator.owner"
EAGER: Mapping[str, Mapping[str, Any]] = {COORDINATOR: {f"{_OWNER}.SNAPSHOT_EVERY_S": 0.5, f"{_OWNER}.SNAPSHOT_RECORDS": 50}}
"""Snapshots all the time: who dies is in the middle of one now and then, and who takes over begins with one."""
KEEPING: Mapping[str, Sequence[str]] = {COORDINATOR: ("tests.faults.keeping",)}


def telling(*roles: str) -> Mapping[str, Sequence[str]]:
    """Wrappers with which processes of these roles say how many tasks they have (`telling.py`)."""
    return {**KEEPING, **{role: (*KEEPING.get(role, ()), "tests.faults.telling") for role in roles}}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many of each there are, and what they do. `proxied`: roles whose processes reach the server by a proxy of their own.

    `mix`: the flows that publishers start; a trigger adds its own. `rate`: events per second of each publisher; `count`: how many in all.
    `constants`, `wrappers`: by role, what is changed inside its processes. `data`: where the server's store lies, if not in the world's
    folder. `server`: further settings of it. `store_bytes`: what the deployment plans with. `options`: further arguments of a command, by role. `settings`: of all flows.
    """

    coordinators: int = 2
    workers: int = 2
    readers: int = 1
    triggers: int = 1
    publishers: int = 1
    partitions: int = 4
    rate: float = 30
    count: int | None = None
    mix: Sequence[str] = publisher.MIX
    proxied: frozenset[str] = frozenset()
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: EAGER)
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=lambda: KEEPING)
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    nodes: Sequence[str] = (flows.NODES,)
    data: Path | None = None
    store_bytes: int = 1 << 30
    server: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that hit one process. `partitions`: those that it owned."""

    kind: str
    name: str
    pid: int
    at_ns: int
    partitions: frozenset[int] = frozenset()


def role_of(name: str) -> str:
    return name.partition("-")[0]

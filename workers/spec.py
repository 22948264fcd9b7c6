"""A node spec: what a worker knows of a node type that it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..schemas.flow.node_types import Kind, NodeType
from .outcome import PORT_DEFAULT

Mode: TypeAlias = Literal["async", "thread", "process", "inline"]
"""Where node code runs.

async     in the event loop: for code that waits
thread    in a thread: for blocking code
process   in a process of its own pool, killed at its timeout: for code that computes, or that may crash
inline    in the event loop without ever giving way, with no timeout: for code that is done in microseconds
"""

Call: TypeAlias = Callable[..., Any]
"""Node code with its config bound: (value) or (value, context) → result, or an awaitable of it in mode async."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """`prepare` binds a rendered config, once per node where the config has no selectors, else once per attempt.

    `function` is the user's function: set for own nodes, needed by mode process, which sends it by name.
    `idempotent` declares that executing an activation again is harmless. `moves`: the node only moves values about, so it is first given
    refs in the place of what lies in the arena. `raw`: it wants large `bytes` as views.
    """

    name: str
    mode: Mode
    prepare: Callable[[Any], Call]
    wants_context: bool = False
    ports: tuple[str, ...] = (PORT_DEFAULT,)
    timeout_ms: int | None = None
    idempotent: bool = False
    moves: bool = False
    raw: bool = False
    summary: str = ""
    function: Callable[..., Any] | None = None

    @property
    def origin(self) -> str:
        """Where the code is from: two specs with one name and one origin are the same node, loaded twice."""
        code = self.function or self.prepare
        return f"{code.__module__}:{code.__qualname__}"

    def node_type(self) -> NodeType:
        """The type as the compiler wants to know it."""
        return NodeType(self.name, Kind.TASK, summary=self.summary, ports=self.ports)


@dataclass(frozen=True, slots=True)
class Bound:
    """A node's code with its config, ready to be called."""

    spec: NodeSpec
    config: Any
    call: Call

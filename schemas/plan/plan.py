"""The plan: a flow compiled to what the engine runs. Immutable, integer-indexed, the same on every machine.

    nodes    every node, by index; also the joins and loop heads that the compiler adds (`hidden`)
    edges    every connection, by index, each knowing the scope whose instance keeps its state
    scopes   the parts that can exist more than once: scope 0 is the flow itself, then one per loop or split body
    guards   the parts that fail as one: try and parallel scopes; they never repeat by themselves

Nodes of a scope are numbered again from 0 (`slot`), so that an instance of a small body in a huge flow costs what the body
costs. The state of an instance is one row of small integers (`cells`), laid out by the scope:

    status[n] · undecided in-edges[n] · taken in-edges[n] · port[n] · state of each edge[m]
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..conditions import Condition
from ..flow.definition import Concurrency, History, Payloads, Retry, Settings
from ..flow.node_types import Kind
from ..selectors import Template

if TYPE_CHECKING:
    from .run_limits import RunLimits

ROOT = 0
NONE = -1
ALL_DECIDED = 0
"""`PlanNode.join`: wait until every in-edge is decided. Any other number: go as soon as that many are taken."""


class EdgeKind(IntEnum):
    FORWARD = 0  # source and target in one scope
    ENTRY = 1  # from a trigger, or from a loop or split into its body
    BACK = 2  # from a body back to its loop
    EXIT = 3  # out of a body, decided when the body is done with
    GUARD = 4  # from a try or parallel scope that failed


@dataclass(frozen=True, slots=True)
class PlanEdge:
    """`home` is the scope whose instance holds the edge's state, `mark` the state's place in its cells.

    `deferred` names the outermost guard that the edge leaves: it is decided when that guard has ended, not before.
    """

    index: int
    kind: EdgeKind
    source: int  # node index; NONE when it comes from a trigger, an entry or a guard
    port: str
    target: int
    label: str  # the key of its value where several arrive
    home: int
    mark: int = NONE
    trigger: str | None = None
    guard: int = NONE
    condition: Condition | None = None
    condition_text: str | None = None
    deferred: int = NONE
    declared: int = NONE  # place in the definition's list of edges


class Source(IntEnum):
    NODE = 0  # the output of a node
    SCOPE = 1  # the error of a guard
    TRIGGER = 2  # {payload, meta, id, type}
    EVENT = 3  # the payload of one trigger, null if another one fired
    RUN = 4  # {id, started_at}


@dataclass(frozen=True, slots=True)
class Need:
    """A payload that must travel with a task because a selector reads it.

    `up` scopes outwards from the reader, then `down` through the last iteration of these loops (node indices).
    """

    source: Source
    index: int = NONE  # of the node or guard
    up: int = 0
    down: tuple[int, ...] = ()
    name: str = ""  # of the trigger


@dataclass(frozen=True, slots=True)
class Binding:
    """A compiled value with selectors, and where each selector's first word is found among the needs."""

    template: Template
    needs: tuple[Need, ...] = ()
    roots: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class PlanNode:
    """A node. Mutable only while the compiler builds it."""

    index: int
    id: str
    type: str
    kind: Kind
    ports: tuple[str, ...]
    config: Any = None  # the normalised config model, None for own nodes
    template: Template | None = None  # of the whole config; rendered by whoever executes the node
    needs: tuple[Need, ...] = ()
    roots: Mapping[str, int] = field(default_factory=dict)
    program: Any = None  # what the engine needs of a structural node's config, compiled
    scope: int = ROOT
    slot: int = 0
    body: int = NONE
    guard: int = NONE
    join: int = ALL_DECIDED
    ins: tuple[PlanEdge, ...] = ()
    outs: tuple[tuple[PlanEdge, ...], ...] = ()  # by port, in the order of `ports`
    retry: Retry | None = None
    timeout_ms: int | None = None
    queue: str | None = None
    concurrency: Concurrency | None = None
    concurrency_key: Binding | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    compensate: int = NONE
    compensates: int = NONE  # set: this node has no edges and only runs to undo that one
    rivals: tuple[int, ...] = ()  # nodes that a merge with `cancel_others` cancels
    enabled: bool = True
    hidden: bool = False
    joins: int = NONE  # the guard whose branches it joins, for the joins that the compiler adds

    def port_index(self, port: str) -> int:
        return self.ports.index(port) if port in self.ports else NONE


@dataclass(slots=True)
class PlanScope:
    """A part of the flow that can have many instances: the flow itself, a loop's body, a split's body."""

    index: int
    parent: int
    owner: int  # the loop or split node; NONE for the root
    depth: int
    nodes: tuple[int, ...] = ()
    entries: tuple[PlanEdge, ...] = ()  # taken when an instance starts
    exits: tuple[PlanEdge, ...] = ()  # edges that leave the body for an outer scope
    backs: tuple[PlanEdge, ...] = ()  # edges that lead back to the loop
    ends: tuple[int, ...] = ()  # nodes whose value is the value of the scope
    closing: int = NONE  # the merge that ends a split's body
    edge_count: int = 0
    live: int = 0  # nodes that must end before an instance has ended
    undoable: bool = False  # something in it, or in a body inside it, has a compensation
    cells: bytes | array[int] = b""

    @property
    def size(self) -> int:
        return len(self.nodes)


def at_level(nodes: Sequence[PlanNode], scopes: Sequence[PlanScope], node: int, scope: int) -> int:
    """The node itself, or the loop or split of the given scope in whose body it stands; NONE if it stands in no body there."""
    while node != NONE and nodes[node].scope != scope:
        node = scopes[nodes[node].scope].owner
    return node


@dataclass(slots=True)
class PlanGuard:
    """A try or parallel scope. `members` are node indices of one scope; inner guards' members are among them."""

    index: int
    id: str
    scope: int
    parent: int
    members: tuple[int, ...]
    edges: tuple[PlanEdge, ...] = ()  # taken with the error when it fails
    retry: Retry | None = None
    timeout_ms: int | None = None
    compensate: tuple[str, tuple[int, ...]] | None = None  # ("reverse" | "parallel" | "list", order of node indices)
    kind: str = "try"
    completion: str = "all"


@dataclass(slots=True)
class PlanTrigger:
    id: str
    type: str
    params: Any
    enabled: bool = True


DEBOUNCE, BATCH = "debounce", "batch"


@dataclass(frozen=True, slots=True)
class PlanCollecting:
    """How several events become one run: `mode` is `debounce` or `batch`.

    `wait_ms`: after the last event (debounce), or after the first (batch). `longest_ms`, `most`: 0 where there is no such bound.
    """

    mode: str
    wait_ms: int
    longest_ms: int = 0
    most: int = 0
    key: Binding | None = None


@dataclass(slots=True)
class Plan:
    """A compiled flow. `digest` names it: equal digests mean equal plans."""

    name: str
    version: str
    digest: str
    nodes: tuple[PlanNode, ...]
    edges: tuple[PlanEdge, ...]
    scopes: tuple[PlanScope, ...]
    guards: tuple[PlanGuard, ...]
    triggers: tuple[PlanTrigger, ...]
    settings: Settings
    config: Mapping[str, Any]
    run_limits: RunLimits | None = None
    inputs: Any = None
    outputs: Binding | None = None
    payloads: Payloads = field(default_factory=Payloads)
    history: History = field(default_factory=History)
    description: str | None = None
    by_id: Mapping[str, int] = field(default_factory=dict)
    collecting: PlanCollecting | None = None  # None: each event is a run of its own

    def node(self, id: str) -> PlanNode:
        """The node with that id. Raises KeyError."""
        return self.nodes[self.by_id[id]]

    def trigger(self, id: str) -> PlanTrigger | None:
        return next((trigger for trigger in self.triggers if trigger.id == id), None)

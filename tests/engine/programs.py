"""Random programs: trees of blocks, and the definitions that they are written as.

A block has one way in and one value out. Which ids its nodes have, how often a task fails, what a wait is answered: all of it is in the
tree, so that the engine and the reference can be asked for the same run. `definition` writes a tree as a flow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from zlib import crc32


@dataclass(frozen=True)
class Task:
    """`fails` executions of an activation fail before the first that does not; a `picky` one refuses some inputs for good."""

    id: str
    fails: int = 0
    picky: bool = False
    attempts: int = 1
    rescue: str = ""
    undo: str = ""
    enabled: bool = True
    child: bool = False


@dataclass(frozen=True)
class Seq:
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Choice:
    """`other` None: the value goes past `then` by the port `false`."""

    id: str
    limit: int
    then: Block
    other: Block | None


@dataclass(frozen=True)
class Parallel:
    """`join`: all, any or count (a merge), or task (an ordinary node where the branches meet)."""

    id: str
    branches: tuple[Block, ...]
    join: str
    cancel_others: bool = False


@dataclass(frozen=True)
class Loop:
    id: str
    body: Block
    most: int
    limit: int


@dataclass(frozen=True)
class Cycle:
    """A task `id`, a body, and a switch that leads back to the task until its condition holds."""

    id: str
    body: Block
    switch: str
    limit: int


@dataclass(frozen=True)
class Split:
    """`closing`: the id of the merge that ends the body; without it the items' values go on by `done`."""

    id: str
    body: Block
    mode: str
    width: int
    on_item_error: str
    closing: str = ""


@dataclass(frozen=True)
class Try:
    """A scope; `rescue` handles its error. With more than one attempt its first node is a `gate` that fails some times."""

    id: str
    body: Block
    rescue: str
    attempts: int = 1
    compensate: str = ""


@dataclass(frozen=True)
class Wait:
    """`kind`: signal, approval, timeout or delay. `decision` answers an approval; a rejected one goes on over `rescue`."""

    id: str
    kind: str
    decision: str = "approve"
    rescue: str = ""


Block: TypeAlias = Task | Seq | Choice | Parallel | Loop | Cycle | Split | Try | Wait

CYCLE_LIMIT = 4
"""Iterations that a cycle may have; one more is the error loop_limit."""


@dataclass(frozen=True)
class Program:
    root: Block
    on_failure: str = "fail_fast"


def work(id: str, value: Any) -> dict[str, Any]:
    """What a task makes of its input: something small that depends on all of it, also on the order of keys."""
    number = crc32(f"{id}:{json.dumps(timeless(value))}".encode())
    return {"n": number % 100, "items": [{"n": (number >> place) % 100} for place in range(number % 4)]}


def refuses(id: str, value: Any) -> bool:
    """Whether a picky task fails for this input."""
    return crc32(f"{id}!{json.dumps(timeless(value))}".encode()) % 3 == 0


def timeless(value: Any) -> Any:
    """The value without the time at which somebody answered: all else of a run depends on its input alone."""
    if isinstance(value, dict):
        return {key: 0 if key == "answered_at" else timeless(item) for key, item in value.items()}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def rescued(id: str) -> dict[str, Any]:
    """What an error handler puts out, whatever the error."""
    return {"n": len(id), "items": []}


def answer(wait: Wait) -> dict[str, Any]:
    """What a signal or an approver says to a wait."""
    return {"decision": wait.decision, "response": wait.id, "reason": None}


def tasks(block: Block) -> Iterator[Task]:
    """All tasks of a tree that do work of their own."""
    if isinstance(block, Task):
        yield block
    for child in children(block):
        yield from tasks(child)


def blocks(block: Block) -> Iterator[Block]:
    yield block
    for child in children(block):
        yield from blocks(child)


def children(block: Block) -> tuple[Block, ...]:
    match block:
        case Seq():
            return block.blocks
        case Choice():
            return (block.then,) if block.other is None else (block.then, block.other)
        case Parallel():
            return block.branches
        case Loop() | Cycle() | Split() | Try():
            return (block.body,)
        case _:
            return ()


def definition(program: Program) -> dict[str, Any]:
    """The program as a flow definition."""
    page = _Page()
    page.write(program.root)
    settings = {"on_failure": program.on_failure, "limits": {"iterations": CYCLE_LIMIT}}
    return {"name": "f", "settings": settings, "nodes": page.nodes, "edges": page.edges, "scopes": page.scopes}


@dataclass
class _Page:
    """A definition being written. `here` are the members of the scope that is being written, innermost last."""

    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[dict[str, Any]] = field(default_factory=list)
    scopes: dict[str, Any] = field(default_factory=dict)
    here: list[list[str]] = field(default_factory=lambda: [[]])

    def node(self, id: str, type: str, config: Any = None, **more: Any) -> str:
        self.nodes[id] = {"type": type, **({} if config is None else {"config": config}), **more}
        self.here[-1].append(id)
        return id

    def edge(self, sources: list[str], targets: list[str], **more: Any) -> None:
        self.edges += [{"from": source, "to": target, **more} for source in sources for target in targets]

    def write(self, block: Block) -> tuple[list[str], list[str]]:
        """Writes the block. Returns the nodes where it is entered and the ports by which it is left."""
        return getattr(self, f"_{type(block).__name__.lower()}")(block)  # type: ignore[no-any-return]

    def _task(self, task: Task) -> tuple[list[str], list[str]]:
        more: dict[str, Any] = {} if task.enabled else {"enabled": False}
        if task.attempts > 1:
            more["retry"] = {"max_attempts": task.attempts, "initial_delay_ms": 10}
        if task.undo:
            more["compensate"] = task.undo
            self.nodes[task.undo] = {"type": "x.undo"}
        self.node(task.id, "std::subflow" if task.child else "x.task", {"flow": "other"} if task.child else None, **more)
        if not task.rescue:
            return [task.id], [task.id]
        self.node(task.rescue, "x.rescue")
        self.edge([f"{task.id}.error"], [task.rescue])
        return [task.id], [task.id, task.rescue]

    def _seq(self, seq: Seq) -> tuple[list[str], list[str]]:
        first, last = self.write(seq.blocks[0])
        for block in seq.blocks[1:]:
            ins, outs = self.write(block)
            self.edge(last, ins)
            last = outs
        return first, last

    def _choice(self, choice: Choice) -> tuple[list[str], list[str]]:
        self.node(choice.id, "std::switch", {"condition": f"n > {choice.limit}"})
        ins, outs = self.write(choice.then)
        self.edge([f"{choice.id}.true"], ins)
        if choice.other is None:
            return [choice.id], [*outs, f"{choice.id}.false"]
        others, more = self.write(choice.other)
        self.edge([f"{choice.id}.false"], others)
        return [choice.id], outs + more

    def _parallel(self, parallel: Parallel) -> tuple[list[str], list[str]]:
        written = [self.write(branch) for branch in parallel.branches]
        if parallel.join == "task":
            self.node(parallel.id, "x.task")
        else:
            more = {"count": 2} if parallel.join == "count" else {}
            self.node(parallel.id, "std::merge", {"strategy": parallel.join, "cancel_others": parallel.cancel_others, **more})
        for _, outs in written:
            self.edge(outs, [parallel.id])
        return [entry for ins, _ in written for entry in ins], [parallel.id]

    def _loop(self, loop: Loop) -> tuple[list[str], list[str]]:
        self.node(loop.id, "std::loop", {"max_iterations": loop.most, "condition": f"n > {loop.limit}"})
        ins, outs = self.write(loop.body)
        self.edge([f"{loop.id}.continue"], ins)
        self.edge(outs, [loop.id], loop_back=True)
        return [loop.id], [f"{loop.id}.exit"]

    def _cycle(self, cycle: Cycle) -> tuple[list[str], list[str]]:
        self.node(cycle.id, "x.task")
        ins, outs = self.write(cycle.body)
        self.edge([cycle.id], ins)
        self.node(cycle.switch, "std::switch", {"condition": f"n > {cycle.limit}"})
        self.edge(outs, [cycle.switch])
        self.edge([f"{cycle.switch}.false"], [cycle.id], loop_back=True)
        return [cycle.id], [f"{cycle.switch}.true"]

    def _split(self, split: Split) -> tuple[list[str], list[str]]:
        config = {"field": "items", "mode": split.mode, "on_item_error": split.on_item_error}
        more = {"parallel": {"max_parallel": split.width}, "batched": {"batch_size": split.width}}.get(split.mode, {})
        self.node(split.id, "std::split", {**config, **more})
        ins, outs = self.write(split.body)
        self.edge([f"{split.id}.item"], ins)
        if not split.closing:
            return [split.id], [f"{split.id}.done"]
        self.node(split.closing, "std::merge")
        self.edge(outs, [split.closing])
        return [split.id], [split.closing]

    def _try(self, guard: Try) -> tuple[list[str], list[str]]:
        self.here.append([])
        ins, outs = self.write(guard.body)
        scope: dict[str, Any] = {"nodes": self.here.pop()}
        self.here[-1].append(guard.id)
        self.scopes[guard.id] = scope
        if guard.attempts > 1:
            scope["retry"] = {"max_attempts": guard.attempts, "initial_delay_ms": 10}
        if guard.compensate:
            scope["compensate"] = guard.compensate
        if guard.rescue:
            scope["on_error"] = self.node(guard.rescue, "x.rescue")
            outs = [*outs, guard.rescue]
        return ins, outs

    def _wait(self, wait: Wait) -> tuple[list[str], list[str]]:
        match wait.kind:
            case "delay":
                self.node(wait.id, "std::delay", {"duration_ms": 30})
            case "signal":
                self.node(wait.id, "std::wait", {"signal": wait.id})
            case "timeout":
                self.node(wait.id, "std::wait", {"hook_id": wait.id, "timeout_ms": 20, "timeout_action": "approve"})
            case _:
                self.node(wait.id, "std::wait", {"hook_id": wait.id})
        if wait.kind != "approval":
            return [wait.id], [wait.id]
        self.node(wait.rescue, "x.rescue")
        self.edge([f"{wait.id}.rejected"], [wait.rescue])
        return [wait.id], [wait.id, wait.rescue]

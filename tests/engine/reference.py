"""A naive interpreter of random programs: recursive, obvious, slow, and without a line of the engine's code.

It walks the tree and says how a run must end: its output and what each activation puts out if it completes, or which errors it may end
with if it fails (where branches run at once, whichever fails first is the run's error). What a merge of any or count gives
depends on who came first: the interpreter is told what the engine chose, and checks that it could be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jetfleet.schemas.values import MISSING

from .programs import (
    CYCLE_LIMIT,
    Block,
    Choice,
    Cycle,
    Loop,
    Parallel,
    Program,
    Seq,
    Split,
    Task,
    Try,
    Wait,
    answer,
    blocks,
    refuses,
    rescued,
    timeless,
    work,
)

Fault = tuple[str, str]
"""Node and type of an error."""


@dataclass(frozen=True)
class Live:
    """A value on its way, and the id of the node that it comes from."""

    source: str
    value: Any


class Failed(Exception):
    """A part of the program failed: with one of these errors."""

    def __init__(self, faults: set[Fault]) -> None:
        self.faults = faults


@dataclass
class Expected:
    """`outputs`: of every activation that completes, by name. `unsure`: ids of nodes that may also have been cancelled."""

    status: str
    output: Any = None
    faults: set[Fault] = field(default_factory=set)
    outputs: dict[str, Any] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)


Chosen = Callable[[str], Any]
"""What the engine's activation of that name put out; MISSING if it never did."""


def interpret(program: Program, value: Any, chosen: Chosen) -> Expected:
    """How a run of the program with this payload must end."""
    cancels = any(isinstance(block, Parallel) and block.cancel_others for block in blocks(program.root))
    walk = _Walk(lambda name: timeless(chosen(name)), program.on_failure == "finish", cancels)
    expected = Expected("completed", outputs=walk.outputs, unsure=walk.unsure)
    try:
        end = walk.block(program.root, Live("", value), (), walk.finish)
        expected.output = None if end is None else end.value
    except Failed as failure:
        walk.faults |= failure.faults
    if walk.faults:
        expected.status, expected.faults = "failed", walk.faults
    return expected


@dataclass
class _Walk:
    chosen: Chosen
    finish: bool
    cancels: bool
    outputs: dict[str, Any] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    executed: Counter[str] = field(default_factory=Counter)
    faults: set[Fault] = field(default_factory=set)

    def block(self, block: Block, given: Live | None, path: tuple[int, ...], tolerant: bool) -> Live | None:
        """The value that leaves the block, None if it is dead. `tolerant`: a failure here ends only this way, not what is around."""
        if given is None:
            return None
        try:
            return getattr(self, f"_{type(block).__name__.lower()}")(block, given.value, path, tolerant)  # type: ignore[no-any-return]
        except Failed as failure:
            if not tolerant or not isinstance(block, (Task, Split, Loop, Try)):
                raise
            self.faults |= failure.faults
            self.forget(block)
            return None

    def forget(self, block: Block) -> None:
        """Part of the block failed: what else of it was completed, cancelled or never begun depends on the order."""
        for id in _ids(block):
            for key in [key for key in self.outputs if key.split("[")[0] == id]:
                del self.outputs[key]
            self.unsure.add(id)

    def put(self, id: str, path: tuple[int, ...], value: Any) -> Live:
        self.outputs[name(id, path)] = value
        return Live(id, value)

    def _task(self, task: Task, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        if not task.enabled:
            return None
        for _ in range(task.attempts):
            self.executed[name(task.id, path)] += 1
            if self.executed[name(task.id, path)] > task.fails and not (task.picky and refuses(task.id, value)):
                return self.put(task.id, path, work(task.id, value))
        if task.rescue:
            return self.put(task.rescue, path, rescued(task.rescue))
        raise Failed({(task.id, "boom")})

    def _seq(self, seq: Seq, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        at: Live | None = Live("", value)
        for block in seq.blocks:
            at = self.block(block, at, path, tolerant)
        return at

    def _choice(self, choice: Choice, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        given = self.put(choice.id, path, value)
        if exceeds(value, choice.limit):
            return self.block(choice.then, given, path, tolerant)
        return given if choice.other is None else self.block(choice.other, given, path, tolerant)

    def _parallel(self, parallel: Parallel, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        ends, faults = [], set[Fault]()
        for branch in parallel.branches:
            try:
                ends.append(self.block(branch, Live("", value), path, tolerant))
            except Failed as failure:
                faults |= failure.faults
        if faults:
            raise Failed(faults)
        live = {end.source: end.value for end in ends if end is not None}
        if self.cancels and parallel.join in ("any", "count"):
            # Also what came too late for an earlier merge may still be running when a later one cancels all that leads to it.
            self.unsure |= {id for branch in parallel.branches for id in _ids(branch)}
        if not live:
            return None
        if parallel.join == "task":
            given = live if len(live) > 1 else next(iter(live.values()))
            return self.put(parallel.id, path, work(parallel.id, given))
        return self.put(parallel.id, path, self._joined(parallel, live, name(parallel.id, path)))

    def _joined(self, parallel: Parallel, live: dict[str, Any], merge: str) -> Any:
        if parallel.join == "all":
            return live
        choice = self.chosen(merge)
        if choice is MISSING:  # it was never reached, because something else had failed
            return live
        if parallel.join == "any":
            assert choice in live.values(), f"{merge} put out what no branch gave"
            return choice
        assert choice.items() <= live.items() and len(choice) >= min(2, len(live)), f"{merge} joined {choice} of {live}"
        assert list(choice) == [key for key in live if key in choice], f"{merge} joined in another order than declared"
        return choice

    def _loop(self, loop: Loop, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        for iteration in range(loop.most):
            if exceeds(value, loop.limit):
                break
            end = self.block(loop.body, Live("", value), (*path, iteration), False)
            if end is None:
                break
            value = end.value
        return self.put(loop.id, path, value)

    def _cycle(self, cycle: Cycle, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        try:
            return self._turns(cycle, value, path)
        except Failed as failure:
            if not tolerant:
                raise
            self.faults |= failure.faults
            self.forget(cycle)
            return None

    def _turns(self, cycle: Cycle, value: Any, path: tuple[int, ...]) -> Live | None:
        for iteration in range(CYCLE_LIMIT):
            here = (*path, iteration)
            given = self.put(cycle.id, here, work(cycle.id, value))
            end = self.block(cycle.body, given, here, False)
            if end is None:
                return None
            value = self.put(cycle.switch, here, end.value).value
            if exceeds(value, cycle.limit):
                return Live(cycle.switch, value)
        raise Failed({(cycle.id, "loop_limit")})

    def _split(self, split: Split, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        items = value.get("items") if isinstance(value, dict) else None
        if items is None:
            raise Failed({(split.id, "missing_field")})
        if split.mode == "batched":
            items = [items[start : start + split.width] for start in range(0, len(items), split.width)]
        values, ends, faults = [], list[Live](), set[Fault]()
        for index, item in enumerate(items):
            try:
                end = self.block(split.body, Live("", item), (*path, index), False)
            except Failed as failure:
                self.forget(split.body)
                if split.on_item_error == "fail":
                    faults |= failure.faults
                    if split.mode != "parallel":
                        break
                elif split.on_item_error == "collect":
                    values.append(failure.faults)
                continue
            values.append(None if end is None else end.value)
            ends += [] if end is None else [end]
        if faults:
            raise Failed(faults)
        done = self.put(split.id, path, self._collected(values, name(split.id, path)))
        return self._closed(split, path, len(items), ends) if split.closing else done

    def _collected(self, values: list[Any], split: str) -> list[Any]:
        """The values with the errors that the engine put in the places of failed items."""
        found = self.chosen(split)
        if found is MISSING:  # the split never came to its end, because something else had failed
            return [None if isinstance(value, set) else value for value in values]
        assert len(found) == len(values), f"{split} collected {found} for {values}"
        for value, error in zip(values, found, strict=True):
            assert not isinstance(value, set) or (error["error"]["node"], error["error"]["type"]) in value
        return [error if isinstance(value, set) else value for value, error in zip(values, found, strict=True)]

    def _closed(self, split: Split, path: tuple[int, ...], items: int, ends: list[Live]) -> Live | None:
        """The merge behind a body: a list per node that leads to it (bodies end with one task here)."""
        assert isinstance(split.body, Seq) and isinstance(split.body.blocks[-1], Task)
        if items and not ends:
            return None
        return self.put(split.closing, path, {split.body.blocks[-1].id: [end.value for end in ends]})

    def _try(self, guard: Try, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        for attempt in range(1, guard.attempts + 1):
            try:
                return self.block(guard.body, Live("", value), path, False)
            except Failed:
                self.forget(guard.body)
                if attempt == guard.attempts and not guard.rescue:
                    raise
        return self.put(guard.rescue, path, rescued(guard.rescue))

    def _wait(self, wait: Wait, value: Any, path: tuple[int, ...], tolerant: bool) -> Live | None:
        if wait.kind == "delay":
            return self.put(wait.id, path, value)
        said = answer(wait)
        head: dict[str, Any] = {"input": value, "decision": None, "response": None, "reason": None, "timed_out": False}
        if wait.kind == "signal":
            return self.put(wait.id, path, {**head, "response": said})
        head |= {"by": None, "answered_at": 0}
        if wait.kind == "timeout":
            return self.put(wait.id, path, {**head, "decision": "approve", "reason": "timed out", "timed_out": True})
        end = self.put(wait.id, path, {**head, "decision": wait.decision, "response": said["response"]})
        return end if wait.decision == "approve" else self.put(wait.rescue, path, rescued(wait.rescue))


def name(id: str, path: tuple[int, ...]) -> str:
    return id + "".join(f"[{step}]" for step in path)


def exceeds(value: Any, limit: int) -> bool:
    return isinstance(value, dict) and "n" in value and value["n"] > limit


def _ids(block: Block) -> set[str]:
    """The ids of all nodes of a block."""
    found = set[str]()
    for inner in blocks(block):
        if not isinstance(inner, Seq):
            found |= {getattr(inner, key) for key in ("id", "rescue", "undo", "switch", "closing") if getattr(inner, key, "")}
    return found

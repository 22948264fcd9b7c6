"""Shapes: what the bare pipeline's runs do next. The least that must be decided, so that what is measured is the way of the messages.

A run begins with task 0 on the event's value; a task is `(index, value)`. Like an engine, a run takes in every completion once
and ignores it the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

Task: TypeAlias = tuple[int, Any]


class Progress(Protocol):
    """One run. `take` gives the tasks that follow a completion; None: the run has ended."""

    def take(self, index: int, output: Any) -> Sequence[Task] | None: ...


class Chain:
    """`size` nodes, each behind the one before."""

    __slots__ = ("position", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0

    def take(self, index: int, output: Any) -> Sequence[Task] | None:
        if index != self.position:
            return ()
        self.position += 1
        return ((self.position, output),) if self.position < self.size else None


class Fan:
    """One node that passes `size` items on, behind it one for each item, behind them one that gets all their outputs."""

    __slots__ = ("missing", "outputs", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.outputs: list[Any] = [None] * (size + 1)
        self.missing = size

    def take(self, index: int, output: Any) -> Sequence[Task] | None:
        if index > self.size:
            return None
        if self.outputs[index] is not None:
            return ()
        self.outputs[index] = output
        if index == 0:
            return list(enumerate(output["items"], start=1))
        self.missing -= 1
        return () if self.missing else ((self.size + 1, self.outputs[1:]),)


SHAPES: dict[str, type[Chain] | type[Fan]] = {"chain": Chain, "fan": Fan}


def nodes_of(shape: str, size: int) -> int:
    """How many nodes a run of this shape executes."""
    return size if shape == "chain" else size + 2


def event_of(shape: str, size: int) -> dict[str, Any]:
    """What such a run starts with."""
    return {"n": 0} if shape == "chain" else {"items": [{"n": number} for number in range(size)]}

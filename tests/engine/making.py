"""Making random programs: small trees in which everything that blocks can be made of meets everything else.

Where the order of completions would decide how often something is executed, nothing is made whose result depends on that: in
a scope that is tried again only its gate fails, and no merge takes whoever comes first. Who draws (hypothesis, or a seed) is the caller's
choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from .programs import Block, Choice, Cycle, Loop, Parallel, Program, Seq, Split, Task, Try, Wait

MODES = ("sequential", "parallel", "parallel", "batched")
LIMITS = 10, 90
Value = TypeVar("Value")


class Drawing(Protocol):
    """Where choices come from."""

    def integer(self, least: int, most: int) -> int: ...

    def one_of(self, values: Sequence[Value]) -> Value: ...


@dataclass(frozen=True)
class Place:
    """What may stand here. `merges`: not directly in a split's body, which they would close."""

    depth: int
    merges: bool = True
    failures: bool = True
    retried: bool = False

    def deeper(self) -> Place:
        return replace(self, depth=self.depth - 1)


class Maker:
    """Draws blocks and gives out ids in the order of drawing."""

    def __init__(self, draw: Drawing, order_free: bool = False) -> None:
        self.draw, self.order_free = draw, order_free
        self.count = 0

    def program(self, depth: int) -> Program:
        """A program that ends with one task."""
        root = self.sequence(Place(depth), closed=True)
        return Program(root, self.draw.one_of(("fail_fast", "finish")))

    def id(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def chance(self, of: int) -> bool:
        return self.draw.integer(0, of - 1) == of - 1

    def block(self, place: Place) -> Block:
        if place.depth <= 0 or self.count > 25:
            return self.leaf(place)
        makers: list[Callable[[Place], Block]] = [
            self.leaf, self.sequence, self.choice, self.parallel, self.loop, self.cycle, self.split, self.guard,
        ]  # fmt: skip
        return self.draw.one_of(makers)(place)

    def leaf(self, place: Place) -> Block:
        return self.wait() if self.chance(5) else self.task(place)

    def wait(self) -> Wait:
        kind = self.draw.one_of(["signal", "approval", "timeout", "delay"])
        if kind != "approval":
            return Wait(self.id("w"), kind)
        return Wait(self.id("w"), kind, self.draw.one_of(["approve", "reject"]), self.id("r"))

    def task(self, place: Place) -> Task:
        undo = self.id("u") if self.chance(4) else ""
        child = self.chance(8)
        if not place.failures or self.chance(2):
            return Task(self.id("t"), undo=undo, child=child)
        rescue = self.id("r") if self.chance(3) else ""
        if place.retried:
            return Task(self.id("t"), picky=self.chance(2), rescue=rescue, undo=undo, child=child)
        fails, attempts = self.draw.integer(0, 2), self.draw.integer(1, 3)
        return Task(self.id("t"), fails, self.chance(4), attempts, rescue, undo, child=child)

    def plain(self) -> Task:
        return Task(self.id("t"))

    def sequence(self, place: Place, closed: bool = False) -> Seq:
        """One to three blocks; `closed`: with a task at the end, so that there is one end."""
        made = [self.block(place.deeper()) for _ in range(self.draw.integer(1, 3))]
        return Seq((*made, self.plain()) if closed else tuple(made))

    def choice(self, place: Place) -> Choice:
        then = self.block(place.deeper())
        other = None if self.chance(2) else self.block(place.deeper())
        return Choice(self.id("c"), self.draw.integer(*LIMITS), then, other)

    def parallel(self, place: Place) -> Parallel:
        kinds = ["task"] if not place.merges else ["all", "all", "task"]
        first_come = place.merges and not place.retried and not self.order_free
        join = self.draw.one_of([*kinds, "any", "count"] if first_come else kinds)
        inner = place.deeper() if join in ("all", "task") else replace(place.deeper(), failures=False)
        branches: list[Block] = [self.block(inner) for _ in range(self.draw.integer(2, 3))]
        if self.chance(5):
            branches.append(replace(self.plain(), enabled=False))
        cancel = join in ("any", "count") and self.chance(2)
        return Parallel(self.id("m"), tuple(branches), join, cancel)

    def loop(self, place: Place) -> Loop:
        body = self.block(replace(place.deeper(), merges=True))
        return Loop(self.id("l"), body, self.draw.integer(1, 3), self.draw.integer(*LIMITS))

    def cycle(self, place: Place) -> Block:
        if not place.failures:  # it may come to its limit
            return self.leaf(place)
        body = self.block(place.deeper())
        return Cycle(self.id("h"), body, self.id("s"), self.draw.integer(*LIMITS))

    def split(self, place: Place) -> Block:
        body = self.sequence(replace(place.deeper(), merges=False), closed=True)
        policy = self.draw.one_of(["fail", "collect", "skip"])
        closing = self.id("m") if place.merges and self.chance(3) else ""
        split = Split(self.id("x"), body, self.draw.one_of(MODES), self.draw.integer(1, 3), policy, closing)
        return Seq((self.plain(), split)) if not place.failures or not self.chance(6) else split

    def guard(self, place: Place) -> Try:
        attempts = 1 if place.retried or not place.failures else self.draw.integer(1, 3)
        inner = replace(place.deeper(), retried=place.retried or attempts > 1)
        body = self.block(inner)
        if attempts > 1:
            body = Seq((Task(self.id("g"), fails=self.draw.integer(0, 3)), body))
        rescue = self.id("r") if self.chance(2) else ""
        compensate = self.draw.one_of(["", "", "reverse", "parallel"])
        return Try(self.id("y"), body, rescue, attempts, compensate)

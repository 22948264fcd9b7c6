"""Strategies for random programs: small trees in which everything that blocks can be made of meets everything else.

Where the order of completions would decide how often something is executed, nothing is generated whose result depends on that: in
a scope that is tried again only its gate fails, and no merge takes whoever comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from .programs import Block, Choice, Cycle, Loop, Parallel, Program, Seq, Split, Task, Try, Wait

MODES = st.sampled_from(["sequential", "parallel", "parallel", "batched"])
LIMITS = st.integers(10, 90)


@dataclass(frozen=True)
class Place:
    """What may stand here. `merges`: not directly in a split's body, which they would close."""

    depth: int
    merges: bool = True
    failures: bool = True
    retried: bool = False

    def deeper(self) -> Place:
        return replace(self, depth=self.depth - 1)


@st.composite
def programs(draw: st.DrawFn, depth: int = 4, order_free: bool = False) -> Program:
    """A program that ends with one task. `order_free`: without anything that depends on who comes first."""
    maker = _Maker(draw, order_free)
    root = maker.sequence(Place(depth), closed=True)
    return Program(root, draw(st.sampled_from(["fail_fast", "finish"])))


class _Maker:
    """Draws blocks and gives out ids in the order of drawing."""

    def __init__(self, draw: st.DrawFn, order_free: bool) -> None:
        self.draw, self.order_free = draw, order_free
        self.count = 0

    def id(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def chance(self, of: int) -> bool:
        return self.draw(st.integers(0, of - 1)) == of - 1

    def block(self, place: Place) -> Block:
        if place.depth <= 0 or self.count > 25:
            return self.leaf(place)
        makers: list[Callable[[Place], Block]] = [
            self.leaf, self.sequence, self.choice, self.parallel, self.loop, self.cycle, self.split, self.guard,
        ]  # fmt: skip
        return self.draw(st.sampled_from(makers))(place)

    def leaf(self, place: Place) -> Block:
        return self.wait() if self.chance(5) else self.task(place)

    def wait(self) -> Wait:
        kind = self.draw(st.sampled_from(["signal", "approval", "timeout", "delay"]))
        if kind != "approval":
            return Wait(self.id("w"), kind)
        return Wait(self.id("w"), kind, self.draw(st.sampled_from(["approve", "reject"])), self.id("r"))

    def task(self, place: Place) -> Task:
        undo = self.id("u") if self.chance(4) else ""
        child = self.chance(8)
        if not place.failures or self.chance(2):
            return Task(self.id("t"), undo=undo, child=child)
        rescue = self.id("r") if self.chance(3) else ""
        if place.retried:
            return Task(self.id("t"), picky=self.chance(2), rescue=rescue, undo=undo, child=child)
        fails, attempts = self.draw(st.integers(0, 2)), self.draw(st.integers(1, 3))
        return Task(self.id("t"), fails, self.chance(4), attempts, rescue, undo, child=child)

    def plain(self) -> Task:
        return Task(self.id("t"))

    def sequence(self, place: Place, closed: bool = False) -> Seq:
        """One to three blocks; `closed`: with a task at the end, so that there is one end."""
        made = [self.block(place.deeper()) for _ in range(self.draw(st.integers(1, 3)))]
        return Seq((*made, self.plain()) if closed else tuple(made))

    def choice(self, place: Place) -> Choice:
        then = self.block(place.deeper())
        other = None if self.chance(2) else self.block(place.deeper())
        return Choice(self.id("c"), self.draw(LIMITS), then, other)

    def parallel(self, place: Place) -> Parallel:
        kinds = ["task"] if not place.merges else ["all", "all", "task"]
        first_come = place.merges and not place.retried and not self.order_free
        join = self.draw(st.sampled_from([*kinds, "any", "count"] if first_come else kinds))
        inner = place.deeper() if join in ("all", "task") else replace(place.deeper(), failures=False)
        branches: list[Block] = [self.block(inner) for _ in range(self.draw(st.integers(2, 3)))]
        if self.chance(5):
            branches.append(replace(self.plain(), enabled=False))
        cancel = join in ("any", "count") and self.chance(2)
        return Parallel(self.id("m"), tuple(branches), join, cancel)

    def loop(self, place: Place) -> Loop:
        body = self.block(replace(place.deeper(), merges=True))
        return Loop(self.id("l"), body, self.draw(st.integers(1, 3)), self.draw(LIMITS))

    def cycle(self, place: Place) -> Block:
        if not place.failures:  # it may come to its limit
            return self.leaf(place)
        body = self.block(place.deeper())
        return Cycle(self.id("h"), body, self.id("s"), self.draw(LIMITS))

    def split(self, place: Place) -> Block:
        body = self.sequence(replace(place.deeper(), merges=False), closed=True)
        policy = self.draw(st.sampled_from(["fail", "collect", "skip"]))
        closing = self.id("m") if place.merges and self.chance(3) else ""
        split = Split(self.id("x"), body, self.draw(MODES), self.draw(st.integers(1, 3)), policy, closing)
        return Seq((self.plain(), split)) if not place.failures or not self.chance(6) else split

    def guard(self, place: Place) -> Try:
        attempts = 1 if place.retried or not place.failures else self.draw(st.integers(1, 3))
        inner = replace(place.deeper(), retried=place.retried or attempts > 1)
        body = self.block(inner)
        if attempts > 1:
            body = Seq((Task(self.id("g"), fails=self.draw(st.integers(0, 3))), body))
        rescue = self.id("r") if self.chance(2) else ""
        compensate = self.draw(st.sampled_from(["", "", "reverse", "parallel"]))
        return Try(self.id("y"), body, rescue, attempts, compensate)

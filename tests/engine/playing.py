"""Playing a program: whatever is out is answered as the program says, in an order that a seed decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from jetfleet.broker.engine import nodes
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Error
from jetfleet.schemas.values import MISSING

from .driving import Driver
from .programs import Program, Task, Wait, answer, blocks, refuses, rescued, work

Step = Callable[[], object]
STEPS_MAX = 20_000
"""No program that is generated takes anywhere near as many."""


class Player:
    """One run of a program. `step` answers one thing that is out; `play` goes on to the end."""

    def __init__(self, program: Program, plan: Plan, value: Any, seed: int, *, keep: bool = True) -> None:
        self.chance = Random(seed)
        self.tasks = {block.id: block for block in blocks(program.root) if isinstance(block, Task)}
        self.waits = {block.id: block for block in blocks(program.root) if isinstance(block, Wait)}
        self.executed: Counter[str] = Counter()
        self.driver = Driver(plan, value, keep=keep)

    def play(self, between: Callable[[Player], None] = lambda player: None) -> Driver:
        for _ in range(STEPS_MAX):
            if self.driver.ended:
                return self.driver
            between(self)
            self.step()
        raise AssertionError("the run does not end")

    def step(self) -> None:
        if not self.driver.ended:
            self.chance.choice(self.choices())()

    def choices(self) -> list[Step]:
        """Everything that could happen next."""
        driver = self.driver
        found: list[Step] = [lambda name=name: self._execute(name) for name in driver.open]  # type: ignore[misc]
        found += [lambda name=name: self._end_child(name) for name in driver.children]  # type: ignore[misc]
        for name in driver.awaiting:
            if self.waits[_id(name)].kind != "timeout":
                found.append(lambda name=name: self._answer(name))  # type: ignore[misc]
        for owner, purpose in driver.timer_names():
            found.append(lambda owner=owner, purpose=purpose: driver.fire(owner, purpose))  # type: ignore[misc]
        return found

    def output(self, name: str) -> Any:
        """What an activation put out; MISSING if it did not complete."""
        view = nodes(self.driver.run).get(name)
        return MISSING if view is None or view.status != "completed" or view.output is None else payloads.decode(view.output)

    def _execute(self, name: str) -> None:
        self.executed[name] += 1
        id, value = _id(name), self.driver.input(name)
        if id.startswith("r"):
            self.driver.complete(name, rescued(id))
        elif self._fails(name, value):
            self.driver.fail(name)
        else:
            self.driver.complete(name, work(id, value))

    def _end_child(self, name: str) -> None:
        self.executed[name] += 1
        value = payloads.decode(self.driver.children[name].input)
        if self._fails(name, value):
            self.driver.child_ended(name, status="failed", error=Error("boom", "the child failed"))
        else:
            self.driver.child_ended(name, work(_id(name), value))

    def _fails(self, name: str, value: Any) -> bool:
        task = self.tasks.get(_id(name))
        return task is not None and (self.executed[name] <= task.fails or (task.picky and refuses(task.id, value)))

    def _answer(self, name: str) -> None:
        wait = self.waits[_id(name)]
        self.driver.signal(wait.id, answer(wait), id=f"{wait.id}-{len(self.driver.journal)}")


def _id(name: str) -> str:
    return name.split("[")[0]

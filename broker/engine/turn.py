"""A turn: the engine's answer to one record, while it is being worked out.

It collects the effects, and a queue of what to look at next, so that a cascade through ten thousand nodes is a loop and not a recursion.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ...schemas.effects import CancelChild, CancelTask, ClearTimer, Dispatch, Effect, Outcome, ReleaseSlot, SetTimer, StopAwaiting
from ...schemas.limits import MOMENT_MS_MAX
from ...schemas.payload import Payload
from ...schemas.plan.plan import PlanNode
from ...schemas.records import Activation, Error, TimerId
from .reading import collect_needs
from .run_timers import run_timers
from .state import RUNNING, WAITING, Run, Scope, Wait, activation


class Ended:
    """Queue mark: nothing in this instance is open any more."""


class Undone:
    """Queue mark: a compensation node has ended."""

    __slots__ = ("error", "node")

    def __init__(self, node: PlanNode, error: Error | None) -> None:
        self.node, self.error = node, error


class Undecided:
    """Queue mark: an edge's condition would have to look into a value that lies elsewhere. `guard`: the innermost one around its source."""

    __slots__ = ("error", "guard")

    def __init__(self, guard: int, error: Error) -> None:
        self.guard, self.error = guard, error


ENDED = Ended()
Item: TypeAlias = tuple[Scope, "PlanNode | Ended | Undone | Undecided | Error"]


class Turn:
    """`now` is the record's time: the only clock there is."""

    __slots__ = ("effects", "now", "plan", "queue", "run")

    def __init__(self, run: Run, now: int) -> None:
        self.run = run
        self.plan = run.plan
        self.now = now
        self.effects: list[Effect] = []
        self.queue: deque[Item] = deque()

    def dispatch(self, scope: Scope, node: PlanNode, payload: Payload) -> None:
        """Have a worker execute the node's current attempt."""
        scope.cells[node.slot] = RUNNING
        address = (node.index,) if scope.parent is None else activation(scope, node)
        attempt = scope.base + 1 if scope.more is None else scope.attempt(node.slot)
        needs = collect_needs(self.run, scope, node.needs) if node.needs else ()
        self.effects.append(Dispatch(self.run.id, address, attempt, payload, needs))

    def set_timer(self, scope: Scope, node: PlanNode, purpose: str, due: int) -> None:
        more, due = scope.rare(), min(due, MOMENT_MS_MAX)
        if more.timers is None:
            more.timers = {}
        more.timers[node.slot, purpose] = due
        self.effects.append(SetTimer(self.run.id, TimerId(activation(scope, node), purpose, scope.attempt(node.slot)), due))

    def clear_timer(self, scope: Scope, node: PlanNode, purpose: str) -> None:
        """Forget the timer if it is set."""
        if scope.more is not None and scope.more.timers and scope.more.timers.pop((node.slot, purpose), None) is not None:
            self.effects.append(ClearTimer(self.run.id, TimerId(activation(scope, node), purpose, scope.attempt(node.slot))))

    def release(self, scope: Scope, node: PlanNode, kill: bool = False) -> None:
        """Take back what the activation has asked the world for: its task, timers, wait or child, and the making again of its input."""
        status = scope.cells[node.slot]
        if self.run.rare_ is not None and self.run.rare_.losses is not None:
            self.call_off(activation(scope, node))
        if node.concurrency is not None:
            self.give_slot_back(activation(scope, node))
        if status == RUNNING:
            self.effects.append(CancelTask(self.run.id, activation(scope, node), scope.attempt(node.slot)))
            return
        if scope.more is None:
            return
        for purpose in ("retry", "delay", "wait", "timeout"):
            self.clear_timer(scope, node, purpose)
        wait = scope.more.waits.pop(node.slot, None) if scope.more.waits else None
        if wait is None or status != WAITING:
            return
        address = activation(scope, node)
        if wait.kind == "child":
            self.effects.append(CancelChild(self.run.id, wait.name, "its parent no longer waits for it", kill))
        elif wait.kind != "timer":
            self.forget_wait(wait, address)

    def call_off(self, address: Activation) -> None:
        """The activation needs no lost payloads to be made again any more."""
        losses = self.run.rare().losses
        for producer, attempt in losses.give_up(address) if losses is not None else ():
            self.effects.append(CancelTask(self.run.id, producer, attempt))

    def give_slot_back(self, address: Activation) -> None:
        """The activation needs its slot no more, or waits for one no more, if it does."""
        claims = self.run.rare_.claims if self.run.rare_ is not None else None
        claim = claims.nodes.pop(address, None) if claims is not None else None
        if claim is not None:
            self.effects.append(ReleaseSlot(self.run.id, address, claim.attempt, claim.limit))

    def clear_run_timers(self, fired: str = "") -> None:
        """The run is no longer running. `fired`: the purpose of the timer that is the reason."""
        self.effects += [ClearTimer(each.run, each.timer) for each in run_timers(self.run) if each.timer.purpose != fired]

    def forget_wait(self, wait: Wait, address: tuple[int | str, ...], outcome: Outcome | None = None) -> None:
        """The activation no longer waits, whether it was answered, gave up or was cancelled: nobody is to be asked any more."""
        key = wait.kind, wait.name
        self.effects.append(StopAwaiting(self.run.id, address, *key, wait.since, outcome, wait.correlate))
        waiting = self.run.rare().awaiting.get(key, [])
        if address in waiting:
            waiting.remove(address)
        if not waiting:
            self.run.rare().awaiting.pop(key, None)

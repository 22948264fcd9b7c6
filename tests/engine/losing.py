"""Playing a program whose lists travel by reference, and get lost: a player who keeps what the refs refer to, and loses some of it."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas import payload as payloads
from jetfleet.schemas.payload import Payload
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, Error
from jetfleet.schemas.ref import Ref
from jetfleet.schemas.values import MISSING, get

from .playing import Player
from .programs import Block, Choice, Loop, Parallel, Program, Seq, Split, Try, blocks, rescued, work


class LosingPlayer(Player):
    """Where a value has `items`, they may lie elsewhere. With probability `losing` an attempt finds one of its lists nowhere any more.

    `gave_up`: some attempt failed for good by it, so that the run may end otherwise than one without losses.
    """

    def __init__(self, program: Program, plan: Plan, value: Any, seed: int, losing: float, *, keep: bool = True) -> None:
        self.kept: dict[int, Any] = {}
        self.gone: set[int] = set()
        self.losing = losing
        self.losses = 0
        self.gave_up = False
        super().__init__(program, plan, value, seed, keep=keep)

    def whole(self, value: Any) -> Any:
        """The value with what its refs refer to."""
        if isinstance(value, Ref):
            found = get(self.kept[value.offset], value.path)
            return None if found is MISSING else self.whole(found)
        if isinstance(value, dict):
            return {key: self.whole(item) for key, item in value.items()}
        return [self.whole(item) for item in value] if isinstance(value, list) else value

    def output(self, name: str) -> Any:
        return self.whole(super().output(name))

    def _execute(self, name: str) -> None:
        task, node = self.driver.open[name], self.driver.plan.nodes[int(self.driver.open[name].activation[0])]
        lost = self._lost(task.input, *task.needs)
        if lost:
            del self.driver.open[name]
            self.driver.give(Completion("r1", self.driver.now, task.activation, task.attempt, error=_error(lost)))
            self._note(name)
            return
        value = self.whole(payloads.decode(task.input))
        if node.type == "std::switch":
            held = node.program.conditions[0].test(value, lambda selector: None)
            self.driver.complete(name, None, "true" if held else "false")
            return
        self.executed[name] += 1
        if self._fails(name, value):
            self.driver.fail(name)
        else:
            output = rescued(node.id) if node.id[0] == "r" else work(node.id, value)
            self.driver.complete(name, self._written(name, output, payloads.refs_in(task.input)))

    def _end_child(self, name: str) -> None:
        lost = self._lost(self.driver.children[name].input)
        if lost:
            self.driver.child_ended(name, status="failed", error=_error(lost))
            self._note(name)
            return
        self.executed[name] += 1
        value = self.whole(payloads.decode(self.driver.children[name].input))
        if self._fails(name, value):
            self.driver.child_ended(name, status="failed", error=Error("boom", "the child failed"))
        else:
            self.driver.child_ended(name, work(name.split("[")[0], value))

    def _written(self, name: str, output: dict[str, Any], given: list[Ref]) -> dict[str, Any]:
        """The output with its list elsewhere, or as it is. A list that equals one that it was given may be handed on."""
        how = self.chance.random()
        if how < 0.2:
            return output
        same = [ref for ref in given if self.whole(ref) == output["items"]]
        if same and how < 0.6:
            return {**output, "items": self.chance.choice(same)}
        entry = len(self.kept)
        self.kept[entry] = output["items"]
        ref = Ref("list", 1_000, 7, "host-a", "w1", 1, entry, count=len(output["items"]))
        return {**output, "items": ref.replace(run="r1", activation=self.driver.address(name), again=True)}

    def _lost(self, *given: Payload) -> list[Ref]:
        """The refs in what an attempt was given whose values are gone; one may go right now."""
        refs = [ref for payload in given for ref in payloads.refs_in(payload)]
        if refs and self.chance.random() < self.losing:
            self.gone.add(self.chance.choice(refs).offset)
        return [ref for ref in refs if ref.offset in self.gone]

    def _note(self, name: str) -> None:
        self.losses += 1
        rare = self.driver.run.rare_
        waits = rare is not None and rare.losses is not None and self.driver.address(name) in rare.losses.lost
        self.gave_up = self.gave_up or not waits


def _error(lost: list[Ref]) -> Error:
    producers = [{"run": ref.run, "activation": list(ref.activation), "again": ref.again} for ref in lost]
    return Error("payload_lost", "the bytes are nowhere", False, details={"producers": producers})


def decidable(program: Program) -> bool:
    """Whether no loop's condition, and no split, looks into an item of a list that lies elsewhere: those are errors by design."""
    return not any(_looks(block.body) for block in blocks(program.root) if isinstance(block, Split))


def _looks(block: Block) -> bool:
    """Whether a loop or a split may get the very value that the block gets."""
    match block:
        case Loop() | Split():
            return True
        case Seq():
            return _looks(block.blocks[0]) or (_hands_on(block.blocks[0]) and any(map(_looks, block.blocks[1:])))
        case Choice():
            return _looks(block.then) or (block.other is not None and _looks(block.other))
        case Parallel():
            return any(map(_looks, block.branches))
        case Try():
            return _looks(block.body)
    return False


def _hands_on(block: Block) -> bool:
    """Whether what comes out may be what went in: a switch, and whatever a branch or a scope passes on."""
    return isinstance(block, (Choice, Parallel, Try, Seq)) or getattr(block, "kind", "") == "delay"

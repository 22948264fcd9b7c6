"""Claims: the slots that a run holds at limits, or waits for. State, and what can be said by looking at it; `slots` decides.

A run with limits of its own has a RunClaim from its beginning. An activation with a limit has a NodeClaim from when it asks until its
attempt has ended in whatever way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...schemas.effects import ReleaseSlot, WantSlot
from ...schemas.records import Activation

if TYPE_CHECKING:
    from .state import Run


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """One limit that a run keeps to, with its rules as in SlotWanted."""

    limit: str
    most: int
    on_limit: str = "queue"
    per_ms: int = 0
    burst: int = 0


class RunClaim(msgspec.Struct, array_like=True):
    """`place` is the ask that is waited for; all before it are granted. `due`: when the turn at a rate comes; 0: it is not waited for.

    `entered_at`: when the run had everything and began, ms since the epoch; 0: it is queued. `attempt` is the run's life. `refused`: the
    ask that is waited for was refused, so that there is nothing to give back. `begun`: the run has entered in this life or an earlier one.
    """

    asks: list[Ask]
    attempt: int = 1
    priority: int = 0
    fair: str = ""
    place: int = 0
    due: int = 0
    entered_at: int = 0
    refused: bool = False
    begun: bool = False

    @property
    def queued(self) -> bool:
        return not self.entered_at

    def holds(self, limit: str) -> bool:
        """Whether that slot is granted, and kept until the run has ended: a rate's never is."""
        return any(ask.limit == limit and not ask.per_ms for ask in self.asks[: self.place])

    def waits_for(self, limit: str) -> bool:
        asked = self.queued and not self.refused and not self.due and self.place < len(self.asks)
        return asked and self.asks[self.place].limit == limit


class NodeClaim(msgspec.Struct, array_like=True):
    """Of one attempt of an activation."""

    limit: str
    attempt: int
    granted: bool = False


class Claims:
    """Those of one run: its own, and those of its activations in the order in which they asked."""

    __slots__ = ("nodes", "run")

    def __init__(self, run: RunClaim | None = None) -> None:
        self.run = run
        self.nodes: dict[Activation, NodeClaim] = {}


def is_queued(run: Run) -> bool:
    """Whether the run waits for its own slots, and nothing of it has begun."""
    claim = run_claim(run)
    return claim is not None and claim.queued and run.status == "running"


def run_claim(run: Run) -> RunClaim | None:
    claims = None if run.rare_ is None else run.rare_.claims
    return None if claims is None else claims.run


def node_claims(run: Run) -> dict[Activation, NodeClaim]:
    claims = None if run.rare_ is None else run.rare_.claims
    return {} if claims is None else claims.nodes


def claims_slot(run: Run, activation: Activation, attempt: int, limit: str) -> bool:
    """Whether the run still holds that slot, or waits for it: what the limit's owner asks now and then."""
    if run.ended:
        return False
    if activation:
        node = node_claims(run).get(activation)
        return node is not None and (node.attempt, node.limit) == (attempt, limit)
    claim = run_claim(run)
    return claim is not None and claim.attempt == attempt and (claim.holds(limit) or claim.waits_for(limit))


def waits_for_slot(run: Run, activation: Activation, attempt: int, limit: str) -> bool:
    """Whether the run has asked for that slot and knows of no answer."""
    if run.ended:
        return False
    if activation:
        node = node_claims(run).get(activation)
        return node is not None and (node.attempt, node.limit, node.granted) == (attempt, limit, False)
    claim = run_claim(run)
    return claim is not None and claim.attempt == attempt and claim.waits_for(limit)


def wanted(run: Run) -> Iterator[WantSlot]:
    """The slots that the run waits for right now."""
    claim = run_claim(run)
    if claim is not None and claim.queued and not claim.due and not claim.refused and claim.place < len(claim.asks):
        yield want_for_run(run, claim)
    for address, node in node_claims(run).items():
        if not node.granted:
            yield want_for_node(run, address, node)


def want_for_run(run: Run, claim: RunClaim) -> WantSlot:
    ask = claim.asks[claim.place]
    return WantSlot(
        run.id, (), claim.attempt, ask.limit, ask.most, ask.on_limit, ask.per_ms, ask.burst, claim.priority, claim.fair
    )  # fmt: skip


def want_for_node(run: Run, address: Activation, node: NodeClaim) -> WantSlot:
    own, rules = run_claim(run), run.plan.nodes[int(address[0])].concurrency
    assert rules is not None
    priority, fair = (0, "") if own is None else (own.priority, own.fair)
    return WantSlot(run.id, address, node.attempt, node.limit, rules.max, rules.on_limit, priority=priority, fair=fair)


def everything(run: Run) -> list[ReleaseSlot]:
    """What is to be given back when the run has ended, and does not wait for any more."""
    claim = run_claim(run)
    given = [ReleaseSlot(run.id, address, node.attempt, node.limit) for address, node in node_claims(run).items()]
    if claim is not None:
        limits = [ask.limit for ask in claim.asks if claim.holds(ask.limit) or claim.waits_for(ask.limit)]
        given += [ReleaseSlot(run.id, (), claim.attempt, limit) for limit in limits]
    return given


def as_data(claims: Claims) -> list[Any]:
    return [claims.run, [[address, claim] for address, claim in claims.nodes.items()]]


def of_data(data: list[Any]) -> Claims:
    run, nodes, *_ = data
    claims = Claims(None if run is None else msgspec.convert(run, RunClaim))
    claims.nodes = {tuple(address): NodeClaim(*fields) for address, fields in nodes}
    return claims

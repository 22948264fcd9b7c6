"""A run that is studied: its plan and its journal, and what follows from the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ...schemas.plan.plan import Plan
from ...schemas.records import Record, RunReopened, RunStarted
from ..engine import NodeView, Run, fold, nodes, state_at
from .phases import Phases, phases

HAVE_RUN = frozenset(("completed", "failed", "cancelled"))


@dataclass(frozen=True)
class Studied:
    """`journal` is whole, from RunStarted on."""

    plan: Plan
    journal: Sequence[Record]

    @cached_property
    def state(self) -> Run:
        """The run as all of its records describe it, with the instances of all bodies."""
        return fold(self.plan, self.journal, keep=True)

    @cached_property
    def nodes(self) -> dict[str, NodeView]:
        return nodes(self.state)

    @cached_property
    def phases(self) -> dict[str, Phases]:
        return phases(self.plan, self.journal)

    def took_ms(self, node: str) -> int | None:
        """How long an activation took, its waits and retries included; None while it is open, and of one that never began."""
        found = self.phases.get(node)
        return None if found is None or found.status not in HAVE_RUN else found.took_ms

    @property
    def started(self) -> RunStarted:
        first = self.journal[0]
        assert isinstance(first, RunStarted)  # or it could not have been folded
        return first

    @property
    def id(self) -> str:
        return self.started.run

    @property
    def status(self) -> str:
        return "paused" if self.state.paused and not self.state.ended else self.state.status

    @property
    def reopenings(self) -> list[tuple[int, RunReopened]]:
        """Where the run was retried, forked or imported: the record's number, and the record."""
        found = ((number, record) for number, record in enumerate(self.journal) if isinstance(record, RunReopened))
        return [(number, record) for number, record in found if record.after == number]

    def at(self, records: int) -> Run:
        """The run as it was after its first so many records, 1 at least."""
        return state_at(self.plan, self.journal, records)

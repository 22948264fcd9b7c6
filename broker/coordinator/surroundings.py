"""The surroundings of a partition: what it, and whoever works beside it, needs of the coordinator that owns it.

A coordinator is one; a test that folds a WAL by itself is another. Does not: say anything of other partitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...schemas.plan.plan import Plan
from ...schemas.records import RunReopened
from ..flows import Flows
from ..observe.counters import CoordinatorCounters
from ..observe.tracing import Tracing
from ..tokens import Tokens
from .admission import Admission
from .far_timers import FarTimers
from .locality import Locality
from .outbox import Outbox
from .reopening import Then


class Surroundings(Protocol):
    """`partitions`: how many there are in all."""

    partitions: int
    outbox: Outbox
    flows: Flows
    counters: CoordinatorCounters
    far_timers: FarTimers
    tracing: Tracing
    locality: Locality
    admission: Admission
    tokens: Tokens

    def holds(self, partition: int) -> bool:
        """Whether this process may still act for the partition."""

    def run_begun(self, flow: str, run: str) -> None: ...

    def run_ended(self, plan: Plan, run: str, status: str) -> None: ...

    def plan_missing(self, partition: int, digest: str, then: Callable[[Plan | None], None]) -> None:
        """Fetch a plan, and call back."""

    def reopen(self, partition: int, record: RunReopened, then: Then) -> None:
        """Fetch the journal of a run that is to go on, fold it, and call back."""

    def partition_lost(self, partition: int, reason: str) -> None:
        """The partition's state is worth nothing any more; begin it again if it is still ours."""

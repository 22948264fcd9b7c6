"""Flows and their versions, as a person or a program sees them: what was decided, what is open, what waits."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.messages import DRAINING, RUNNING, Drain

DRAINED, UNDEPLOYED = "drained", "undeployed"


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a flow. `share`: the percentage of new runs that begin with it; `open`: its open runs.

    `deployed_at` in ms since the epoch. `drain`: until when its open runs may go on, where it is drained by itself.
    """

    flow: str
    version: str
    digest: str
    deployed_at: int
    share: float
    open: int
    drain: Drain | None = None


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow. `state`: running, paused or draining, by decision (`reason`, `since` in ms since the epoch).

    `runs`: its open runs are paused with it. `drain`: how long they have, while it is draining.
    `versions`: those that new runs begin with, then those that have open runs or are drained, each in the order of deployment.
    `waiting`: messages of events that no run was made of yet. `silent`: partitions whose open runs are not counted, since nobody owns them
    right now. `followed`: every coordinator knows of the decision, and has none of the flow's events in hand.
    """

    flow: str
    deployed: bool
    state: str
    reason: str
    since: int
    runs: bool
    drain: Drain | None
    versions: tuple[VersionView, ...]
    waiting: int
    silent: tuple[int, ...]
    followed: bool

    @property
    def open(self) -> int:
        """Its open runs, of all versions."""
        return sum(each.open for each in self.versions)

    @property
    def drained(self) -> bool:
        """Whether it is draining, and for certain nothing is open any more."""
        return self.state == DRAINING and self.followed and not self.silent and not self.open

    def drains(self, digest: str = "") -> bool:
        """Whether the flow, or the version with this digest, is draining and may still have open runs."""
        if not digest:
            return self.drain is not None and not self.drained
        version = self.version(digest)
        return version is not None and version.drain is not None and (version.open > 0 or bool(self.silent))

    @property
    def condition(self) -> str:
        """Its state; `drained`; or `undeployed`, where nothing else stands in the way."""
        if self.drained:
            return DRAINED
        return self.state if self.deployed or self.state != RUNNING else UNDEPLOYED

    def version(self, digest: str) -> VersionView | None:
        return next((each for each in self.versions if each.digest == digest), None)

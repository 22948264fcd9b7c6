"""What a client can do with flows as a whole: deploy them, look at them, and steer them. `Client` inherits it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...schemas.messages import Definition
from ..client import Connection
from ..flows import Flows
from ..versions import WHOLE, DeployedFlow
from .definitions import FlowSource, definition_of
from .flow_views import FlowView, VersionView
from .flows import FlowControl
from .inspection import Inspection

DRAINED_ASK_S = 0.25


class FlowCalls(Inspection):
    """All that name a flow raise UnknownFlow, but for `deploy` and `undeploy`; all raise BrokerError."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows | None = None) -> None:
        super().__init__(connection, partitions, flows)
        self._flow_control = FlowControl(connection, partitions, self.flows)

    async def deploy(self, source: FlowSource, *, nodes: Sequence[str] = (), share: float = WHOLE, force: bool = False) -> DeployedFlow:
        """Make this version of a flow the current one; open runs go on with theirs.

        `source`: a path, a text, or data; `nodes`: the modules and files that define its own node types. `share` below 100: let so many
        percent of new runs begin with it, the others with the one that is current; `move_flow` goes on from there. Raises InvalidFlow,
        UsageError, TooManyVersions (unless `force`), BrokerError.
        """
        return await self._flow_control.deploy(definition_of(source, nodes), share, force)

    async def undeploy(self, flow: str) -> bool:
        """Start no more runs of the flow: its events wait, its open runs go on. False if it was not deployed."""
        return await self._flow_control.undeploy(flow)

    async def flow_views(self) -> list[FlowView]:
        """All flows that are deployed, that have open runs, or that something is decided about, by name."""
        return await self._flow_control.views()

    async def flow(self, flow: str) -> FlowView:
        """One that is deployed, or was."""
        return await self._flow_control.view(flow)

    async def flow_versions(self, flow: str) -> list[VersionView]:
        """Every version that was ever deployed, the latest first."""
        return await self._flow_control.versions(flow)

    def definition(self, flow: str, version: str = "") -> Definition:
        """The definition of a flow's current version, or of the one that is called so. Raises UnknownVersion, AmbiguousVersion."""
        return self._flow_control.definition(flow, version)

    async def pause_flow(self, flow: str, reason: str = "", *, runs: bool = False) -> FlowView:
        """Start no runs of the flow: its events wait. Open runs go on; with `runs` they are paused as well, as long as the flow is."""
        return await self._flow_control.pause(flow, reason, runs)

    async def resume_flow(self, flow: str, reason: str = "") -> FlowView:
        """Let a paused or draining flow go on, and the runs that were paused with it."""
        return await self._flow_control.resume(flow, reason)

    async def drain_flow(
        self, flow: str, version: str = "", *, timeout_ms: int | None = None, grace_ms: int | None = None, reason: str = ""
    ) -> FlowView:
        """Start no runs of the flow, and give the open ones until `timeout_ms` to end; then they are cancelled, `grace_ms` later killed.

        `version`: its name, or the beginning of its digest: only its runs, and new ones begin with other versions as before. The times are
        those of the flow's settings where they are not said. Returns at once: see `drained`. Raises UnknownVersion, AmbiguousVersion,
        VersionIsCurrent.
        """
        if version:
            return await self._flow_control.drain_version(flow, version, timeout_ms, grace_ms, reason)
        return await self._flow_control.drain(flow, timeout_ms, grace_ms, reason)

    async def drained(self, flow: str, version: str = "", *, timeout_s: float | None = None) -> FlowView:
        """Wait until a flow, or a version of it, is drained, or does not drain any more: somebody has resumed it. Raises TimeoutError."""
        digest = self._flow_control.find_version(flow, version).digest if version else ""
        async with asyncio.timeout(timeout_s):
            while (view := await self.flow(flow)).drains(digest):
                await asyncio.sleep(DRAINED_ASK_S)
        return view

    async def move_flow(self, flow: str, share: float) -> FlowView:
        """Let so many percent of new runs begin with the version that was deployed with a share; with 100 it becomes the current one.

        Raises NothingToMove, UsageError for what is no share.
        """
        return await self._flow_control.move(flow, share)

    async def roll_back_flow(self, flow: str, to: str = "") -> FlowView:
        """Let all new runs begin with the version that was current before, or that `to` names; open runs go on with theirs.

        While runs are moved to another version: with the current one. Raises NothingToMove, UnknownVersion, AmbiguousVersion.
        """
        return await self._flow_control.roll_back(flow, to)

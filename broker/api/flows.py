"""Flows: looking at them, and deciding about them: pause, resume, drain, move, roll back.

Guarantees: when a decision returns it is on disk, and outlives restarts and deployments. `pause` and `drain` also wait until every
coordinator follows, a few seconds at most; the view says whether all do. Deciding what is so already changes nothing.
Does not: wait until a drain is over (`drained` tells). Whoever waits may go away; what was decided is done all the same.
"""

from __future__ import annotations

import asyncio
import time

from ...schemas.flow.definition import Settings
from ...schemas.messages import Definition, Drain
from ...schemas.plan.plan import Plan
from .. import flow_states, versions
from ..definitions import compile_definition
from .flow_errors import TooManyVersions, VersionIsCurrent
from .flow_sight import FlowSight, follow
from .flow_views import FlowView
from .open_runs import open_runs

FOLLOW_S, ASK_S = 5.0, 0.1
"""How long a decision waits for coordinators to follow, and how often it looks."""


class FlowControl(FlowSight):
    """The calls that `Client` passes on. All raise UnknownFlow and BrokerError."""

    async def pause(self, flow: str, reason: str = "", runs: bool = False) -> FlowView:
        self.require(flow)
        now = _now_ms()
        _, seq = await flow_states.change(self._connection, flow, lambda state: flow_states.paused(state, now, reason, runs))
        return await self._decided(flow, seq)

    async def resume(self, flow: str, reason: str = "") -> FlowView:
        self.require(flow)
        now = _now_ms()
        await flow_states.change(self._connection, flow, lambda state: flow_states.resumed(state, now, reason))
        return await self._decided(flow, 0)

    async def drain(self, flow: str, timeout_ms: int | None = None, grace_ms: int | None = None, reason: str = "") -> FlowView:
        """The times are those of the version that is current, or was last, unless they are said here."""
        self.require(flow)
        current = self._flows.current(flow) or self._latest(flow)
        drain = _drain(current, timeout_ms, grace_ms, reason)
        _, seq = await flow_states.change(self._connection, flow, lambda state: flow_states.draining(state, drain))
        return await self._decided(flow, seq)

    async def drain_version(
        self, flow: str, version: str, timeout_ms: int | None = None, grace_ms: int | None = None, reason: str = ""
    ) -> FlowView:
        """Raises UnknownVersion, AmbiguousVersion, and VersionIsCurrent for one that new runs begin with."""
        digest = self.find_version(flow, version).digest
        if digest in self._begun_with(flow):
            raise VersionIsCurrent(flow, version)
        drain = _drain(await self._flows.fetch(digest), timeout_ms, grace_ms, reason)
        await flow_states.change(self._connection, flow, lambda state: flow_states.version_draining(state, digest, drain))
        return await self._decided(flow, 0)

    async def move(self, flow: str, share: float) -> FlowView:
        """Raises NothingToMove, UsageError."""
        self.require(flow)
        await self._keep(flow, (self._begun_with(flow) or [""])[-1])
        await versions.move(self._connection, flow, share)
        return await self._decided(flow, 0)

    async def roll_back(self, flow: str, to: str = "") -> FlowView:
        """Raises NothingToMove, UnknownVersion, AmbiguousVersion."""
        self.require(flow)
        digest = self.find_version(flow, to).digest if to else ""
        await versions.roll_back(self._connection, flow, digest)
        await self._flows.caught_up()
        await self._keep(flow, self._begun_with(flow)[0])
        return await self._decided(flow, 0)

    # --- deploying

    async def deploy(self, definition: Definition, share: float, force: bool) -> versions.DeployedFlow:
        """`force`: however many versions have open runs. Raises TooManyVersions, and what `versions.deploy` raises."""
        if not force:
            await self._check_number(definition, share)
        await self._keep(definition.name, definition.digest)
        found = await versions.deploy(self._connection, definition, share)
        await self._flows.caught_up()  # so that this client may start it at once
        return found

    async def undeploy(self, flow: str) -> bool:
        """A flow that is drained is so no more: it starts anew when it is deployed again."""
        if not await versions.undeploy(self._connection, flow):
            return False
        await self._flows.caught_up()
        if self._flows.is_held(flow) and (await self.view(flow)).drained:
            await self.resume(flow)
        return True

    # ---

    async def _decided(self, flow: str, seq: int) -> FlowView:
        """The view once the decision in message `seq` is followed; without one (0), once this client knows."""
        await self._flows.caught_up()
        deadline = time.monotonic() + FOLLOW_S
        while seq and not follow(await self._held(), flow, seq) and time.monotonic() < deadline:
            await asyncio.sleep(ASK_S)
        return await self.view(flow)

    async def _keep(self, flow: str, digest: str) -> None:
        """A version that new runs are to begin with is drained no more: else its runs would be ended by a drain of long ago."""
        if digest in self._flows.state(flow).versions:
            await flow_states.change(self._connection, flow, lambda state: flow_states.version_draining(state, digest, None))

    async def _check_number(self, definition: Definition, share: float) -> None:
        """Raises TooManyVersions. What nobody answers for is not counted: a fleet that is asleep can be deployed to."""
        plan = compile_definition(definition)
        limit = plan.settings.max_concurrent_versions
        known = {each.digest for each in self._flows.versions(definition.name)} | {definition.digest}
        if len(known) <= limit:
            return
        opened = (await open_runs(self._connection, self._partitions, definition.name)).versions(definition.name)
        stays = self._begun_with(definition.name)[:1] if share < versions.WHOLE else []
        others = {digest: opened.get(digest, 0) for digest in {*opened, *stays} - {definition.digest}}
        if len(others) + 1 > limit:
            raise TooManyVersions(definition.name, limit, others, self._flows.versions(definition.name))


def _drain(plan: Plan | None, timeout_ms: int | None, grace_ms: int | None, reason: str) -> Drain:
    """From now on. A flow whose definition cannot be read here has the times of one that says none."""
    settings = Settings() if plan is None else plan.settings
    since = _now_ms()
    cancel_at = since + (settings.drain_timeout_ms if timeout_ms is None else timeout_ms)
    return Drain(since, cancel_at, cancel_at + (settings.drain_grace_period_ms if grace_ms is None else grace_ms), reason)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""Looking at flows: what is deployed, what was decided, what is open, what waits. Everything is asked for when somebody wants to know.

It only reads. Open runs are counted by the owners of the partitions, so no reader is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...schemas import subjects
from ...schemas.messages import RUNNING, Definition
from ...schemas.plan.plan import Plan
from ..client import Connection
from ..fleet.membership import COORDINATOR
from ..fleet.roll_call import roll_call
from ..flows import Flows
from ..versions import WHOLE
from .errors import UnknownFlow
from .flow_errors import AmbiguousVersion, UnknownVersion
from .flow_views import FlowView, VersionView
from .open_runs import OpenRuns, open_runs

DIGEST_MIN = 4
"""Characters of a digest that name a version."""


class FlowSight:
    """`flows`: those that somebody follows. All raise BrokerError, and UnknownFlow where one is named."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows) -> None:
        self._connection = connection
        self._partitions = partitions
        self._flows = flows

    async def views(self) -> list[FlowView]:
        """All flows that are deployed, that have open runs, or that something is decided about."""
        opened = await open_runs(self._connection, self._partitions)
        held = [name for name in self._flows.decided() if self._flows.is_held(name) or self._flows.state(name).versions]
        names = sorted({*self._flows.names(), *held, *(flow for flow, _ in opened.by_version)})
        return await self._views(names, opened)

    async def view(self, flow: str) -> FlowView:
        self.require(flow)
        return (await self._views([flow], await open_runs(self._connection, self._partitions, flow)))[0]

    async def versions(self, flow: str) -> list[VersionView]:
        """Every version that was ever deployed, the latest first."""
        self.require(flow)
        opened = await open_runs(self._connection, self._partitions, flow)
        return [self._version(each, opened) for each in reversed(self._flows.versions(flow))]

    def require(self, flow: str) -> None:
        """Raises UnknownFlow for one that was never deployed. What is not deployed any more may still have open runs."""
        if self._flows.version(flow) is None and not self._flows.versions(flow):
            raise UnknownFlow(flow, self._flows.names())

    def definition(self, flow: str, version: str = "") -> Definition:
        """The current version's, or the last one's of a flow that is not deployed any more; or that of the version which is called so."""
        if version:
            return self.find_version(flow, version)
        self.require(flow)
        current = self._flows.version(flow)
        known = None if current is None else self._flows.definition(current.digest)
        return known or self._flows.versions(flow)[-1]

    def find_version(self, flow: str, said: str) -> Definition:
        """The version that is called so, or whose digest begins so. Raises UnknownVersion, AmbiguousVersion."""
        self.require(flow)
        known = self._flows.versions(flow)
        by_digest = [each for each in known if len(said) >= DIGEST_MIN and each.digest.startswith(said)]
        found = by_digest or [each for each in known if each.version == said]
        if not found:
            raise UnknownVersion(flow, said, known)
        if len(found) > 1:
            raise AmbiguousVersion(flow, said, found)
        return found[0]

    # ---

    async def _held(self) -> list[dict[str, int]]:
        """What each coordinator says that it holds, by flow."""
        members = [present.member for present in await roll_call(self._connection)]
        return [member.facts.get("held") or {} for member in members if member.role == COORDINATOR]

    async def _views(self, names: Iterable[str], opened: OpenRuns) -> list[FlowView]:
        waiting = await self._waiting()
        held = await self._held()
        return [self._view(name, opened, waiting.get(name, 0), held) for name in names]

    def _view(self, flow: str, opened: OpenRuns, waiting: int, held: list[dict[str, int]]) -> FlowView:
        state, begun_with = self._flows.state(flow), self._begun_with(flow)
        known = {each.digest: each for each in self._flows.versions(flow)}
        others = [digest for digest in known if digest not in begun_with and (opened.of(flow, digest) or digest in state.versions)]
        shown = tuple(self._version(known[digest], opened) for digest in [*begun_with, *others] if digest in known)
        followed = state.state == RUNNING or follow(held, flow, self._flows.state_seq(flow))
        return FlowView(
            flow, self._flows.version(flow) is not None, state.state, state.reason, state.at, state.runs, state.drain, shown, waiting,
            opened.silent, followed,
        )  # fmt: skip

    def _version(self, definition: Definition, opened: OpenRuns) -> VersionView:
        flow, digest = definition.name, definition.digest
        drain = self._flows.state(flow).versions.get(digest)
        share = self._shares(flow).get(digest, 0.0)
        return VersionView(flow, definition.version, digest, definition.deployed_at, share, opened.of(flow, digest), drain)

    def _shares(self, flow: str) -> dict[str, float]:
        current = self._flows.version(flow)
        if current is None:
            return {}
        rest = {current.next: current.share} if current.next else {}
        return {current.digest: WHOLE - sum(rest.values())} | rest

    def _begun_with(self, flow: str) -> list[str]:
        """The digests of the versions that new runs begin with, the current one first."""
        return list(self._shares(flow))

    def _latest(self, flow: str) -> Plan | None:
        return self._flows.plan(self._flows.versions(flow)[-1].digest)

    async def _waiting(self) -> dict[str, int]:
        """Messages of events that are stored, by flow."""
        found: dict[str, int] = {}
        for subject, count in (await self._connection.streams.subjects(subjects.EVENTS, subjects.event(">"))).items():
            flow = subject.split(".")[1]
            found[flow] = found.get(flow, 0) + count
        return found


def follow(held: Iterable[dict[str, int]], flow: str, seq: int) -> bool:
    return all(each.get(flow, 0) >= seq for each in held)

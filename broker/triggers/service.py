"""The service: all triggers that a process serves, kept in step with what is deployed and decided.

    async with await Client.connect() as client:
        async with Triggers(client, types=("kafka",)):
            ...

Guarantees: every enabled trigger of the served types in a deployed flow has a source that is looked after, within moments of its
deployment; one that cannot listen says why in `status` and in the log, and keeps no other one from it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from ...schemas.errors import UsageError
from ..api.client import Client
from . import catalogue
from .bindings import Binding, bindings
from .emitter import Emitter
from .presence import Presence, Told
from .serving import Serving, told
from .shared import Shared
from .source import Site, Source
from .supervisor import Supervisor

RETRY_S = 1.0
log = structlog.get_logger("jetfleet.triggers")


class Triggers:
    """`types`: those to serve. `only`: the flows whose triggers are served; none: all. `data`: where sources remember things.

    `member`: whether this is said to the fleet by a Member of its own; a process that is one already says `facts` itself.
    """

    def __init__(
        self,
        client: Client,
        *,
        types: Collection[str] = catalogue.OUTSIDE,
        only: Collection[str] = (),
        data: Path = Path(".jetfleet"),
        arena: Path | None = None,
        member: bool = True,
    ) -> None:
        """Raises UsageError for a type that there is not."""
        self.types, self.only = catalogue.known(types), tuple(only)
        self._client = client
        self._emitter = Emitter(client)
        self._site = Site(client, Shared(), data / "triggers", arena, self.only)
        self.on_state: list[Told] = []
        """Told of the states of triggers while this is a member."""
        self._presence = Presence(client.connection, self.status, self.facts, self.on_state) if member else None
        self._supervisors: dict[str, Supervisor] = {}
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._step = asyncio.Lock()
        self._leaving: list[Supervisor] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin with what is deployed now, and follow what is deployed later. Raises BrokerError if the fleet cannot be told."""
        self._client.flows.on_change.append(self._flow_changed)
        self._following = asyncio.create_task(self._follow(), name=f"triggers {os.getpid()}")
        await self._follow_safely()
        if self._presence is not None:
            await self._presence.start()

    async def stop(self) -> None:
        """Take no more, wait a while for what is in flight, close all sources."""
        self._stopping = True
        if self._flow_changed in self._client.flows.on_change:
            self._client.flows.on_change.remove(self._flow_changed)
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        async with self._step:  # `source` may be at it
            ending, self._supervisors = self._supervisors, {}
        try:
            await asyncio.gather(*(supervisor.stop() for supervisor in (*ending.values(), *self._leaving)))
        finally:
            await self._emitter.close()
            if self._presence is not None:
                await self._presence.stop()

    @property
    def member(self) -> str:
        """The id of its Member; "" if it has none."""
        return "" if self._presence is None else self._presence.id

    async def source(self, flow: str, trigger: str) -> Source:
        """The source that a trigger listens to here, once it listens. Raises UsageError if it is not served here."""
        in_step = not (self._changed.is_set() or self._step.locked())
        supervisor = self._serving(flow, trigger) if in_step else None
        if supervisor is None:  # perhaps it was deployed a moment ago
            await self._client.flows.caught_up()
            await self._follow_once()
            supervisor = self._serving(flow, trigger)
        if supervisor is not None:
            return await supervisor.ready()
        raise UsageError(f"trigger {trigger!r} of flow {flow!r} is not served here: it is not deployed, disabled, or of a type that is not "
                         f"among {', '.join(self.types)}")  # fmt: skip

    def status(self) -> list[Serving]:
        """One entry per trigger that is served here, by flow and id."""
        found = [
            Serving(
                flow, trigger, each.spec.type, each.state, each.fired, each.refused, each.in_flight, each.restarts, each.last_at,
                self._detail(each.source, flow, trigger), each.error,
            )
            for each in self._supervisors.values() for flow, trigger in each.bound
        ]  # fmt: skip
        return sorted(found, key=lambda each: (each.flow, each.trigger))

    def state(self, flow: str, trigger: str) -> str:
        """In a word how a trigger is served here; "" if it is not."""
        supervisor = self._serving(flow, trigger)
        return "" if supervisor is None else supervisor.state

    def _detail(self, source: Source | None, flow: str, trigger: str) -> str:
        """What the source says, and why its events wait if they do."""
        blocked = self._emitter.blocked_by(flow, trigger)
        waits = "" if blocked is None else f"events wait, as they cannot be stored: {blocked}"
        return "; ".join(filter(None, (_said(source), waits)))

    def facts(self) -> dict[str, Any]:
        """What the process's Member says about its triggers."""
        return told(self.status(), self.types, self.only)

    # --- in step with what is deployed

    def _flow_changed(self, flow: str) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._follow_safely()

    async def _follow_safely(self) -> None:
        """Whatever is deployed must not end it: what can be served is."""
        try:
            await self._follow_once()
        except Exception:
            log.exception("the triggers cannot be fitted to what is deployed; it is tried again")
            asyncio.get_running_loop().call_later(RETRY_S, self._changed.set)

    async def _follow_once(self) -> None:
        async with self._step:
            if not self._stopping:
                await self._fit()

    async def _fit(self) -> None:
        wanted = bindings(self._client.flows, self.types, self.only)
        self._leaving += [self._supervisors.pop(key) for key in set(self._supervisors) - set(wanted)]
        for key, supervisor in self._supervisors.items():
            _decide(supervisor, wanted[key])
        await asyncio.gather(*(supervisor.stop() for supervisor in self._leaving))  # before others begin: they may want the same port
        self._leaving = []
        for key, binding in wanted.items():
            if key not in self._supervisors:
                self._supervisors[key] = self._supervisor(binding)

    def _serving(self, flow: str, trigger: str) -> Supervisor | None:
        return next((each for each in self._supervisors.values() if (flow, trigger) in each.bound), None)

    def _supervisor(self, binding: Binding) -> Supervisor:
        spec = binding.spec
        supervisor = Supervisor(spec, lambda: catalogue.make(spec, self._site), self._emitter)
        _decide(supervisor, binding)
        supervisor.start()
        return supervisor


def _decide(supervisor: Supervisor, binding: Binding) -> None:
    supervisor.bound = tuple(binding.bound)
    supervisor.pause() if binding.paused else supervisor.resume()


def _said(source: Source | None) -> str:
    try:
        return "" if source is None else source.status()
    except Exception:  # a word for people is not worth more
        return ""

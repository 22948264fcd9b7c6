"""The trigger process: a client, telemetry and signals around the triggers that it serves, from its start to its end.

SIGTERM or SIGINT lets it end in order: nothing more is taken, what is in flight is waited for a while, sources are closed, and then it says
goodbye. A second one ends the process on the spot; what was in flight comes again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog

from ..broker.api import Client
from ..broker.fleet.membership import TRIGGER, Membership
from ..broker.observe import logs
from ..broker.observe.counters import TriggerCounters
from ..broker.observe.health import connected
from ..broker.observe.observed import Observed
from ..broker.triggers.service import Triggers
from ..broker.triggers.serving import Serving
from .calls import Calls, CallSettings

LOOK_S = 1.0
"""How often what the triggers do is put into the facts; a change of a state is told at once then, counts with the next beat."""

log = structlog.get_logger("jetfleet.triggers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """`types`: of the triggers to serve. `flows`: those whose triggers are served; none: all. `calls`: where manual triggers are called."""

    url: str
    credentials: str | None = None
    types: tuple[str, ...]
    flows: tuple[str, ...] = ()
    data: Path = Path(".jetfleet")
    arena: Path | None = None
    calls: CallSettings | None = None


async def serve(settings: ServeSettings, watch: Observed) -> None:
    """Serve triggers until a signal. Raises BrokerError, CannotServeMetrics, CannotListen."""
    stop, state = _stop_signal(), _State()
    client = await Client.connect(settings.url, name="jetfleet-trigger", credentials=settings.credentials, arena=settings.arena)
    async with client:
        triggers = Triggers(client, types=settings.types, only=settings.flows, data=settings.data, arena=settings.arena)
        membership = Membership(client.connection, TRIGGER)
        logs.name_process(TRIGGER, membership.id)
        conditions = {"nats": connected(client.connection), "triggers": lambda: state.not_serving}
        async with (
            watch.serving(TRIGGER, [TriggerCounters(triggers.status)], conditions),
            _present(membership, triggers),
            _calls(client, settings),
            _telling(membership, triggers),
        ):
            state.not_serving = ""
            _warn_of_unknown(client, settings.flows)
            log.info("serves triggers", types=list(settings.types), triggers=len(triggers.status()))
            await stop.wait()
            state.not_serving = "is about to end"
            log.info("takes no more")


@asynccontextmanager
async def _present(membership: Membership, triggers: Triggers) -> AsyncIterator[None]:
    """It says that it is there when it takes firings, and goodbye when it has none left."""
    async with triggers:
        membership.facts.update(triggers.facts())
        await membership.start()
        try:
            yield
        finally:
            await triggers.stop()
            await membership.stop()


def _warn_of_unknown(client: Client, flows: tuple[str, ...]) -> None:
    """They may be deployed later; or the name is a slip."""
    deployed = client.flows.names()
    for flow in flows:
        if flow not in deployed:
            log.warning("no deployed flow is called so: its triggers are served once one is", flow=flow, deployed=deployed)


def _calls(client: Client, settings: ServeSettings) -> AbstractAsyncContextManager[object]:
    return nullcontext() if settings.calls is None else Calls(client, settings.calls, settings.flows)


class _State:
    not_serving = "is starting"


def _stop_signal() -> asyncio.Event:
    """Set by the first signal; the second one ends the process."""
    stop = asyncio.Event()

    def came(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, came, number)
    return stop


@asynccontextmanager
async def _telling(membership: Membership, triggers: Triggers) -> AsyncIterator[None]:
    telling = asyncio.create_task(_tell(membership, triggers), name="facts of the triggers")
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(membership: Membership, triggers: Triggers) -> None:
    """What the triggers do into the facts; and every change of a state into the log, and to the fleet at once, as is a new error."""
    states: dict[tuple[str, str], str] = {}
    said: dict[tuple[str, str], tuple[str, str, bool]] = {}
    while True:
        served = {(each.flow, each.trigger): each for each in triggers.status()}
        membership.facts.update(triggers.facts())
        now = {name: each.state for name, each in served.items()}
        for name in now.keys() | states.keys():
            if now.get(name) != states.get(name):
                _log_change(name, served.get(name))
        states = now
        saying = {name: (each.state, each.error, bool(each.detail)) for name, each in served.items()}
        if saying != said:
            said = saying
            membership.tell()
        await asyncio.sleep(LOOK_S)


def _log_change(name: tuple[str, str], serving: Serving | None) -> None:
    flow, trigger = name
    if serving is None:
        log.info("a trigger is served no more", flow=flow, trigger=trigger)
    else:
        log.info("a trigger is in another state", flow=flow, trigger=trigger, type=serving.type, state=serving.state, detail=serving.detail)

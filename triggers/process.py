"""The trigger process: a client, telemetry and signals around the triggers that it serves, from its start to its end.

SIGTERM or SIGINT lets it end in order: nothing more is taken, what is in flight is waited for a while, sources are closed, and then it says
goodbye. A second one ends the process on the spot; what was in flight comes again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog

from ..broker.api import Client
from ..broker.credentials import Credentials
from ..broker.fleet.membership import TRIGGER
from ..broker.observe import logs
from ..broker.observe.counters import TriggerCounters
from ..broker.observe.health import connected
from ..broker.observe.observed import Observed
from ..broker.triggers.service import Triggers
from ..broker.triggers.serving import Serving
from .calls import Calls, CallSettings

log = structlog.get_logger("jetfleet.triggers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """`types`: of the triggers to serve. `flows`: those whose triggers are served; none: all. `calls`: where manual triggers are called."""

    url: str
    credentials: Credentials | None = None
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
        logs.name_process(TRIGGER, triggers.member)
        triggers.on_state.append(_log_state)
        conditions = {"nats": connected(client.connection), "triggers": lambda: state.not_serving}
        async with (
            watch.serving(TRIGGER, [TriggerCounters(triggers.status)], conditions),
            triggers,
            _calls(client, settings),
        ):
            state.not_serving = ""
            _warn_of_unknown(client, settings.flows)
            log.info("serves triggers", types=list(settings.types), triggers=len(triggers.status()))
            await stop.wait()
            state.not_serving = "is about to end"
            log.info("takes no more")


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


def _log_state(flow: str, trigger: str, serving: Serving | None) -> None:
    if serving is None:
        log.info("a trigger is served no more", flow=flow, trigger=trigger)
    else:
        log.info("a trigger is in another state", flow=flow, trigger=trigger, type=serving.type, state=serving.state, detail=serving.detail)

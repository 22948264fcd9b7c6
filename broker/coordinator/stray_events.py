"""Stray events: those that name a trigger which their flow does not have, and that no consumer gives to anybody.

Where nothing was ever decided about the triggers of a flow, its own consumer has these events too, and intake puts them with the dead
letters. From the first decision on each trigger has a consumer of its own (paused_events.py) and other names have none: one coordinator,
the owner of partition 0, looks for them now and then and does the same.

Guarantees: an event is deleted after its letter is on disk; who dies in between leaves both, and the next look writes the same letter again
under the same id. An event is left alone while its trigger may have been deployed after it came, and while a coordinator has it in hand.
Does not touch events of flows that are not deployed: they wait until they are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError, UsageError
from ...schemas.plan.events import choose_trigger
from ...schemas.plan.plan import Plan
from ..client import Connection
from ..client.stored import StoredMessage
from ..flows import Flows
from ..observe.counters import CoordinatorCounters
from ..topology import flow_consumer
from .events import UnknownTrigger, letter_of
from .outbox import Outbox
from .paused_events import consumers

LOOK_S = 10.0
"""Between two looks. Each costs a question per flow about whose triggers something was decided."""
AT_A_TIME = 64
_TRIGGER = re.compile(r"[A-Za-z0-9_-]+")
"""Whatever else stands in a subject was never a trigger, so there is no consumer to ask for."""

log = structlog.get_logger("jetfleet.coordinator")


class Site(Protocol):
    """What it needs of the coordinator around it."""

    connection: Connection
    outbox: Outbox
    flows: Flows
    counters: CoordinatorCounters


async def keep_strays(site: Site, is_mine: Callable[[], bool]) -> None:
    """Look as long as this is not cancelled, whenever `is_mine` says that it is for this process to do."""
    while True:
        await asyncio.sleep(LOOK_S)
        if not is_mine():
            continue
        try:
            await bury_strays(site)
        except JetfleetError as error:
            log.warning("it cannot be looked for events of unknown triggers; it is tried again", code=error.code, reason=str(error))
        except Exception:
            log.exception("a defect of jetfleet: it cannot be looked for events of unknown triggers; it is tried again")


async def bury_strays(site: Site) -> None:
    """Put the stray events of all flows with the dead letters. Raises BrokerError."""
    for flow in site.flows.names():
        if site.flows.trigger_states(flow):
            await _bury_those_of(site, flow)


async def _bury_those_of(site: Site, flow: str) -> None:
    streams = site.connection.streams
    info = await streams.stream_info(subjects.EVENTS)
    until_seq = 0 if info is None else int(info["state"]["last_seq"])
    waiting = await streams.subjects(subjects.EVENTS, subjects.event(flow, ">"))
    if not waiting:
        return
    await site.flows.caught_up()  # after: whatever is deployed later cannot be what these events were meant for
    plan = site.flows.current(flow)
    if plan is None:
        return
    known = {subjects.event(flow, trigger) for trigger, _ in consumers(site.flows, flow) if trigger}
    for subject in waiting.keys() - known:
        trigger = subject.removeprefix(subjects.event(flow, ""))
        if not await _is_in_hand(site.connection, flow, trigger):
            await _bury(site, subject, _reason(plan, trigger), until_seq)


def _reason(plan: Plan, trigger: str) -> UnknownTrigger:
    try:
        choose_trigger(plan, trigger)
    except UsageError as error:
        return UnknownTrigger(str(error))
    return UnknownTrigger(f"flow {plan.name!r} had no trigger {trigger!r} when this event came")


async def _is_in_hand(connection: Connection, flow: str, trigger: str) -> bool:
    """Whether a coordinator has taken events of the trigger, which the flow had until now: what becomes of these is decided there."""
    if not _TRIGGER.fullmatch(trigger):
        return False
    info = await connection.streams.consumer_info(subjects.EVENTS, flow_consumer(flow, trigger))
    return info is not None and info["num_ack_pending"] > 0


async def _bury(site: Site, subject: str, reason: UnknownTrigger, until_seq: int) -> None:
    found: list[StoredMessage] = []
    async for message in site.connection.streams.read(subjects.EVENTS, subject=subject):
        if message.seq > until_seq:
            break
        if message.subject == subject:  # a subject may look like a wildcard
            found.append(message)
        if len(found) == AT_A_TIME:
            await asyncio.gather(*(_bury_one(site, each, reason) for each in found))
            found = []
    await asyncio.gather(*(_bury_one(site, each, reason) for each in found))


async def _bury_one(site: Site, message: StoredMessage, reason: UnknownTrigger) -> None:
    kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    letter = letter_of(message.subject, message.seq, message.data, message.headers, reason)
    site.outbox.dead(letter, lambda: _set(kept), id=f"stray-{message.time_ns}.{message.seq}")
    await kept
    await site.connection.streams.delete_message(subjects.EVENTS, message.seq)
    site.counters.dead_letters += 1
    log.warning("an event is put with the dead letters", subject=message.subject, seq=message.seq, code=reason.code, reason=str(reason))


def _set(kept: asyncio.Future[None]) -> None:
    if not kept.done():
        kept.set_result(None)

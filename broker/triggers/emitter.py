"""The emitter: firings become events on disk.

    firing ─▶ for each trigger that listens: check ─▶ large values stored ─▶ batch on events.<flow>.<trigger> ─▶ fate

Guarantees: the event's key is made of the trigger's id and the firing's key, so a firing that comes again is the same run. `done` is
called once per firing, when all its events are on disk or refused for good.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog

from ...schemas import messages, subjects
from ...schemas.errors import EventRejected, JetfleetError, UsageError
from ...schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from ...schemas.messages import BatchedEvent
from ...schemas.payload import NULL, Payload, encode
from ...schemas.payload_errors import ObjectsFull, ObjectsUnavailable
from ...schemas.plan.events import check_event, choose_trigger
from ...schemas.plan.parameters import with_defaults
from ...schemas.plan.plan import Plan
from ..api.client import Client
from ..api.events import BATCH_HEADERS
from ..api.outgoing import checkable
from ..client import Batcher, BrokerError, ConnectionClosed, Unknown
from ..dead_letter import keep
from ..payloads.layout import small_payload
from .burial import META_BYTES, letter_of
from .firing import Fate, Firing
from .source import Source

Bound: TypeAlias = tuple[str, str]
"""A trigger that listens: its flow and its id."""
Done: TypeAlias = Callable[[Firing, Fate], None]

LATER_S = 1.0
REASON_SHOWN = 500
log = structlog.get_logger("jetfleet.triggers")


class Emitter:
    """One per process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._flows = client.flows
        self._batchers: dict[tuple[str, bool], Batcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def emit(self, source: Source, bound: Sequence[Bound], firing: Firing, done: Done) -> None:
        """Publish the events of a firing, one per trigger. Never blocks, never raises."""
        delivery = _Delivery(firing, len(bound), done)
        for flow, trigger in bound:
            self._emit(source, flow, trigger, firing, _Part(delivery, flow, trigger, self if source.buries else None))
        if not bound:
            done(firing, delivery.fate)

    def blocked_by(self, flow: str, trigger: str) -> BrokerError | None:
        """Why events of a trigger that are on their way are not stored; None: nothing is in theirs."""
        batchers = [self._batchers.get((subjects.event(flow, trigger), patient)) for patient in (True, False)]
        return next((each.blocked_by for each in batchers if each is not None and each.blocked_by is not None), None)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batcher in self._batchers.values():
            await batcher.close()

    def _emit(self, source: Source, flow: str, trigger: str, firing: Firing, part: _Part) -> None:
        key = f"{trigger}/{firing.key}"
        part.run = subjects.run_id(flow, key)
        try:
            if firing.error is not None:
                raise firing.error
            plan = self._plan(flow, trigger, part.run)
            value = checked(plan, trigger, firing.payload)
            payload = small_payload(value, plan.payloads.inline_max_bytes)
            meta = encode(dict(firing.meta)) if firing.meta else NULL
            if len(meta) > META_BYTES:
                raise EventRejected(f"what trigger {trigger!r} of flow {flow!r} says about its event has {len(meta):,} bytes, "
                                    f"and {META_BYTES:,} are possible")  # fmt: skip
        except JetfleetError as error:
            part.refuse(error)
            return
        except RecursionError:
            part.refuse(_too_deep())
            return
        if payload is None:
            self._spawn(self._emit_large(source, plan, trigger, firing, value, meta, part))
        else:
            self._put(source, flow, trigger, BatchedEvent(key, payload, firing.trace, meta), part)

    def _plan(self, flow: str, trigger: str, run: str) -> Plan:
        plan = self._flows.begins_with(flow, run, trigger)
        if plan is None:
            raise EventRejected(f"flow {flow!r} is not deployed any more, or its definition cannot be read: deploy it again")
        try:
            choose_trigger(plan, trigger)
        except UsageError as error:
            raise EventRejected(str(error)) from None
        return plan

    async def _emit_large(
        self, source: Source, plan: Plan, trigger: str, firing: Firing, value: object, meta: Payload, part: _Part
    ) -> None:
        """With its large values stored first. A patient source's wait until they can be."""
        while True:
            try:
                payload = await self._client.values.outgoing(value, part.run, plan.payloads)
                if len(payload) > PAYLOAD_INLINE_MAX_BYTES:
                    raise EventRejected(f"the payload has {len(payload):,} bytes although its large values were taken out")
            except (BrokerError, OSError, ObjectsFull, ObjectsUnavailable) as error:
                if not source.patient:
                    part.refuse(error if isinstance(error, JetfleetError) else Unknown(str(error)))
                    return
                log.warning("a large value cannot be stored yet", flow=plan.name, trigger=trigger, reason=str(error))
                await asyncio.sleep(LATER_S)
            except JetfleetError as error:
                part.refuse(error)
                return
            except RecursionError:
                part.refuse(_too_deep())
                return
            except Exception as error:  # else it would never be settled, and its source never asked for more
                log.exception("a payload cannot be stored", flow=plan.name, trigger=trigger, key=firing.key)
                part.refuse(EventRejected(f"its payload cannot be stored: {type(error).__name__}: {error}"))
                return
            else:
                self._put(source, plan.name, trigger, BatchedEvent(f"{trigger}/{firing.key}", payload, firing.trace, meta), part)
                return

    def _put(self, source: Source, flow: str, trigger: str, event: BatchedEvent, part: _Part) -> None:
        subject = subjects.event(flow, trigger)
        batcher = self._batchers.get((subject, source.patient))
        if batcher is None:
            batcher = Batcher(self._client.connection.publisher, subject, headers=BATCH_HEADERS, patient=source.patient)
            self._batchers[subject, source.patient] = batcher
        batcher.put(messages.encode(event), part)

    # --- what no event comes of

    def bury(self, part: _Part, error: JetfleetError) -> None:
        """Keep the firing with the dead letters, and only then count it as settled."""
        self._spawn(self._bury(part, error))

    async def _bury(self, part: _Part, error: JetfleetError) -> None:
        letter = letter_of(part.flow, part.trigger, part.delivery.firing, error)
        told = {"flow": part.flow, "trigger": part.trigger, "code": error.code}
        log.warning("a firing is put with the dead letters", **told, reason=letter.reason[:REASON_SHOWN])
        with contextlib.suppress(ConnectionClosed):  # nobody knows: the source brings it again
            await keep(self._client.connection, letter, f"dead {part.flow} {part.trigger}/{part.delivery.firing.key}")
            part.refused(error)

    def _spawn(self, work: object) -> None:
        task = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type,var-annotated]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Delivery:
    """How many of a firing's events are not settled."""

    __slots__ = ("done", "fate", "firing", "left")

    def __init__(self, firing: Firing, count: int, done: Done) -> None:
        self.firing, self.left, self.done, self.fate = firing, count, done, Fate()


class _Part:
    """The receipt of one event of a firing. `burier`: keeps what is refused for good; None where who waits is told instead."""

    __slots__ = ("burier", "delivery", "flow", "run", "trigger")

    def __init__(self, delivery: _Delivery, flow: str, trigger: str, burier: Emitter | None) -> None:
        self.delivery, self.flow, self.trigger, self.burier, self.run = delivery, flow, trigger, burier, ""

    def settled(self, count: int, error: BrokerError | None) -> None:
        if error is None:
            self.delivery.fate.runs[self.flow] = self.run
            self._settled()
        elif not isinstance(error, ConnectionClosed):  # of that nobody knows, and the source brings it again
            self.refuse(error)

    def refuse(self, error: JetfleetError) -> None:
        """No event will come of it."""
        if self.burier is None:
            self.refused(error)
        else:
            self.burier.bury(self, error)

    def refused(self, error: JetfleetError) -> None:
        """The same, and all that is to be done about it is done."""
        self.delivery.fate.refused[self.flow] = error
        self._settled()

    def _settled(self) -> None:
        delivery = self.delivery
        delivery.left -= 1
        if not delivery.left:
            delivery.done(delivery.firing, delivery.fate)


def _too_deep() -> EventRejected:
    return EventRejected("its payload is nested too deeply")


def checked(plan: Plan, trigger: str, value: object) -> object:
    """The value as the run gets it. Raises EventRejected if the trigger or the flow does not take it."""
    value = with_defaults(plan, trigger, value)
    if plan.inputs is not None:
        check_event(plan, checkable(value))
    return value

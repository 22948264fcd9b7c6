"""Reading events: a message on `events.<flow>.<trigger>` as the runs that it asks for.

    one event     the payload is JSON, or msgpack if `Content-Type` says so; `Nats-Msg-Id` is its idempotency key
    a batch       header `Jetfleet-Batch: 1`; a msgpack array of BatchedEvent, each with a key of its own

An event without a key is told apart from others by its place in the stream, so that a second delivery of it is no second event.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from ...schemas import messages, subjects
from ...schemas.errors import EventRejected, JetfleetError, UnreadableRecord, UsageError
from ...schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from ...schemas.messages import BatchedEvent, DeadLetter
from ...schemas.payload import NULL, Payload, decode, encode, is_readable
from ...schemas.plan.events import check_event, choose_trigger
from ...schemas.plan.parameters import parameters, with_defaults
from ...schemas.plan.plan import Plan
from ...schemas.records import RunStarted
from ..client import Message
from ..content import UnreadableEvent, payload_of
from ..flows import Flows

BATCH = "Jetfleet-Batch"
_OWN_HEADERS = ("nats-", "jetfleet-")


class UnknownTrigger(JetfleetError):
    """The flow has no such trigger, or it is disabled."""

    code = "UNKNOWN_TRIGGER"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it came. `trigger` None: its subject names none."""

    trigger: str | None
    key: str
    payload: Payload
    meta: Payload
    trace: str


def read_events(message: Message, flow: str) -> Iterator[Event]:
    """The events in a message. Raises UnreadableEvent."""
    trigger = message.subject.removeprefix(subjects.event(flow)).removeprefix(".") or None
    meta = _meta(message.headers)
    headers = {name.lower(): value for name, value in message.headers.items()}  # clients differ in how they write them
    if headers.get(BATCH.lower()):
        for place, entry in enumerate(_batch(message)):
            yield Event(trigger, _key(message, place, entry), entry.payload, meta if entry.meta == NULL else entry.meta, entry.trace)
        return
    key = headers.get("nats-msg-id") or f"#{message.timestamp_ns}.{message.stream_seq}"
    yield Event(trigger, key, payload_of(message.data, headers.get("content-type", "")), meta, headers.get("traceparent", ""))


def only(message: Message, keys: Collection[str]) -> tuple[bytes, dict[str, str]]:
    """A batch with those of its events that have these keys, which they keep: data and headers of the message without the others."""
    entries = list(enumerate(messages.decode(BatchedEvent, entry) for entry in messages.split(message.data)))
    kept = [msgspec.structs.replace(entry, key=_key(message, place, entry)) for place, entry in entries]
    headers = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-")}
    return messages.encode_all([entry for entry in kept if entry.key in keys]), headers


def start_of(event: Event, plan: Plan, now_ms: int) -> RunStarted:
    """The record by which an event becomes a run. Raises UnknownTrigger, EventRejected."""
    trigger = trigger_of(event, plan)
    if len(event.payload) > PAYLOAD_INLINE_MAX_BYTES:
        size = f"{len(event.payload):,} bytes, and at most {PAYLOAD_INLINE_MAX_BYTES:,} travel inside a message"
        raise EventRejected(f"the payload has {size}; put large data elsewhere and send where it is")
    payload = event.payload
    if parameters(plan, trigger):
        payload = encode(with_defaults(plan, trigger, decode(payload)))
    if plan.inputs is not None:
        check_event(plan, decode(payload))
    return RunStarted(
        subjects.run_id(plan.name, event.key), now_ms, plan.name, plan.digest, trigger, payload, event.meta, None, event.trace
    )


def version_of(event: Event, flows: Flows, current: Plan) -> Plan:
    """The version that the event's run begins with: it follows from the run's id while new runs are moved to another one."""
    if not flows.is_moving(current.name):
        return current
    return flows.begins_with(current.name, subjects.run_id(current.name, event.key), event.trigger) or current


def trigger_of(event: Event, plan: Plan) -> str | None:
    """The trigger that an event came by; None: the flow has none. Raises UnknownTrigger."""
    try:
        return choose_trigger(plan, event.trigger)
    except UsageError as error:
        raise UnknownTrigger(str(error)) from None


def letter_of(subject: str, seq: int, data: bytes, headers: Mapping[str, str], error: JetfleetError) -> DeadLetter:
    """What is kept of an event's message that no run can be made of."""
    return DeadLetter(
        "event", error.code, str(error), subject, data, time.time_ns() // 1_000_000, dict(headers), f"EVENTS sequence {seq}"
    )  # fmt: skip


def _key(message: Message, place: int, entry: BatchedEvent) -> str:
    return entry.key or f"#{message.timestamp_ns}.{message.stream_seq}.{place}"


def _batch(message: Message) -> list[BatchedEvent]:
    try:
        entries = [messages.decode(BatchedEvent, entry) for entry in messages.split(message.data)]
    except UnreadableRecord as error:
        raise UnreadableEvent(f"a message with the header {BATCH} holds no batch of events: {error}") from None
    broken = next((place for place, entry in enumerate(entries) if not (is_readable(entry.payload) and is_readable(entry.meta))), None)
    if broken is not None:
        raise UnreadableEvent(
            f"the payload or meta of event {broken} in a batch is no msgpack document, or has a ref in it that cannot be read"
        )
    return entries


def _meta(headers: Mapping[str, str]) -> Payload:
    """What the trigger says about its event: the message's headers without those of the broker and our own."""
    own = {name: value for name, value in headers.items() if not name.lower().startswith(_OWN_HEADERS)}
    return encode({"headers": own}) if own else NULL

"""Burial: a firing that no event comes of, as a dead letter.

Guarantees: the letter's message is the event that the firing would have been, with key, trace and what the trigger says about it: who
redrives it starts the same run. Does not: keep files that go along with a firing, nor a meta that is too large for an event.
"""

from __future__ import annotations

import reprlib
import time

from ...schemas import messages, subjects
from ...schemas.errors import JetfleetError
from ...schemas.messages import BatchedEvent, DeadLetter
from ...schemas.payload import NULL, Payload, encode
from ..api.events import BATCH_HEADERS
from ..codecs.opened import OpenedFile
from .firing import Firing

META_BYTES = 64 * 1024
"""What a trigger may say about an event."""


def letter_of(flow: str, trigger: str, firing: Firing, error: JetfleetError) -> DeadLetter:
    key = f"{trigger}/{firing.key}"
    event = BatchedEvent(key, _payload(firing.payload), firing.trace, _meta(firing))
    return DeadLetter(
        "event",
        error.code,
        str(error),
        subjects.event(flow, trigger),
        messages.encode_all([event]),
        time.time_ns() // 1_000_000,
        BATCH_HEADERS | {"Nats-Msg-Id": key},
        f"trigger {trigger} of flow {flow}",
    )


def _payload(value: object) -> Payload:
    """Without the files that go along with it, which a letter cannot keep; of a value without bytes, what it is."""
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if not isinstance(each, OpenedFile)}
    try:
        return encode(value)
    except JetfleetError:
        return encode(reprlib.repr(value))  # which stops where it gets deep


def _meta(firing: Firing) -> Payload:
    try:
        meta = encode(dict(firing.meta))
    except JetfleetError:
        return NULL
    return meta if firing.meta and len(meta) <= META_BYTES else NULL

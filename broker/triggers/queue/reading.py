"""Reading a queue's message: its key, its value, and what it says about itself.

    key      `Nats-Msg-Id`; without one, when it was stored and its place; of messages on subjects `<subject> <key>`
    payload  the body, by its Content-Type
    meta     subject (without `queue.` or `on.`), key (`Jetfleet-Key`), headers (without the broker's and our own)

A body that cannot be read makes a firing all the same, with the reason: what came is kept with the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....schemas import subjects
from ....schemas.errors import JetfleetError
from ...client import Message
from ...content import UnreadableEvent, value_of
from ...queues import key_on
from ..firing import Firing

KEY = "Jetfleet-Key"
"""What the message is about, as its sender calls it. Not what tells it from others: that is `Nats-Msg-Id`."""
_OURS = ("nats-", "jetfleet-")


def firing_of(message: Message, triggers: Sequence[tuple[str, str]]) -> Firing:
    """The firing of a message for these triggers; the message is its token."""
    headers: dict[str, str] = {}  # in lower case: clients differ in how they write them
    told: dict[str, str] = {}
    for name, value in message.headers.items():
        known = name.lower()
        headers[known] = value
        if not known.startswith(_OURS):
            told[name] = value
    subject = message.subject.partition(".")[2]
    key = headers.get("nats-msg-id") or f"#{message.timestamp_ns}.{message.stream_seq}"
    if message.stream == subjects.INBOX:
        key = key_on(subject, key)
    payload: Any = message.data
    error: JetfleetError | None = None
    try:
        payload = value_of(message.data, headers.get("content-type", ""))
    except UnreadableEvent as failure:
        error = failure
    meta = {
        "subject": subject,
        "key": headers.get(KEY.lower()),
        "headers": told,
    }
    return Firing(key, payload, meta, message, headers.get("traceparent", ""), error, triggers)

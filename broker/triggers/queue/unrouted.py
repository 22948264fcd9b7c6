"""Unrouted: a message on a subject that no flow listens to is kept with the dead letters, with the reason `NO_FLOW`.

Sent again (`jetfleet dlq redrive`) it goes to the same subject, and to the flows that listen by then.
"""

from __future__ import annotations

import time

import structlog

from ....schemas.messages import DeadLetter
from ...client import Connection, Message
from ...dead_letter import keep

NO_FLOW = "NO_FLOW"
log = structlog.get_logger("jetfleet.triggers")


async def bury(connection: Connection, message: Message) -> None:
    """Returns when the letter is on disk. Raises ConnectionClosed."""
    reason = f"no deployed flow has a queue trigger whose `subjects` match {message.subject.partition('.')[2]!r}"
    log.warning("a message is put with the dead letters", subject=message.subject, code=NO_FLOW, reason=reason)
    # Sent again with these it would be taken for a part of a batch that never ends.
    headers = {name: value for name, value in message.headers.items() if not name.lower().startswith("nats-batch-")}
    letter = DeadLetter(
        "event", NO_FLOW, reason, message.subject, message.data, time.time_ns() // 1_000_000, headers,
        f"{message.stream} sequence {message.stream_seq}",
    )  # fmt: skip
    await keep(connection, letter, f"{message.stream} {message.timestamp_ns} {message.stream_seq}")

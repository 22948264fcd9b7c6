"""Dead letters on their way to the disk.

One that is larger than a message may be keeps the beginning of what died, and says so.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from ..schemas import messages, subjects
from ..schemas.messages import DeadLetter
from .client import BrokerError, Connection, ConnectionClosed

AGAIN_S = 1.0
HEAD_BYTES = 4_096
"""What a letter needs besides the message that died and its reason: the subject, an id, headers of ours, what is added to the reason."""
REASON_MAX = 2_000

log = structlog.get_logger("jetfleet.triggers")


async def keep(connection: Connection, letter: DeadLetter, id: str) -> None:
    """Store a letter, however long it takes; the same `id` is the same letter. Raises ConnectionClosed: nobody knows whether it is."""
    data = messages.encode(fitting(letter, connection.max_payload))
    while True:
        try:
            await connection.publisher.publish(subjects.dead(letter.kind), data, id=id)
            return
        except ConnectionClosed:
            raise
        except BrokerError as error:
            log.warning("a dead letter cannot be stored yet", subject=letter.subject, where=letter.where, reason=str(error))
            await asyncio.sleep(AGAIN_S)


def fitting(letter: DeadLetter, max_payload_bytes: int) -> DeadLetter:
    """The letter itself, or what of it fits into a message of the server."""
    if len(letter.reason) > REASON_MAX:  # it may quote what it refuses
        letter = msgspec.structs.replace(letter, reason=f"{letter.reason[:REASON_MAX]}…")
    too_many = len(messages.encode(letter)) + HEAD_BYTES - max_payload_bytes
    if too_many <= 0:
        return letter
    kept = max(0, len(letter.data) - too_many)
    reason = f"{letter.reason} (the first {kept:,} of its {len(letter.data):,} bytes are kept)"
    return msgspec.structs.replace(letter, data=letter.data[:kept], reason=reason)

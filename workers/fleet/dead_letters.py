"""Dead letters of tasks: what cannot be read, belongs to no node, or took too many workers down.

A letter is stored before the message that it came in is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from ...broker.client import BrokerError, PubAck, Publisher
from ...schemas import subjects
from ...schemas.errors import JetfleetError
from ...schemas.messages import DeadLetter, encode
from ...schemas.records import Error
from .unit import UnitOfWork

KIND = "task"


class DeadLetters:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def bury(self, unit: UnitOfWork, data: bytes, error: JetfleetError | Error, where: str) -> None:
        """Publish a dead letter, owed by the unit until it is stored."""
        unit.owed += 1
        message = unit.message
        code, reason = (error.type, error.message) if isinstance(error, Error) else (error.code, str(error))
        letter = DeadLetter(KIND, code, reason, message.subject, data, time.time_ns() // 1_000_000, dict(message.headers), where)
        # The same letter of a later delivery has the same id.
        id = f"dead-{message.stream}-{message.stream_seq}-{message.timestamp_ns}-{where}"
        structlog.get_logger("jetfleet.worker").warning("a task became a dead letter", code=code, reason=reason, where=where)
        stored = self._publisher.submit(subjects.dead(KIND), encode(letter), id=id)
        stored.add_done_callback(partial(_stored, unit))


def _stored(unit: UnitOfWork, future: asyncio.Future[PubAck]) -> None:
    error = None if future.cancelled() else future.exception()
    unit.settled(1, error if isinstance(error, BrokerError) else None)

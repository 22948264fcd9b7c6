"""Dead letters of firings: the one event that each of them keeps."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas import messages
from jetfleet.schemas.messages import BatchedEvent, DeadLetter
from jetfleet.schemas.payload import decode


def kept_in(letter: DeadLetter) -> tuple[Any, Any]:
    """Its payload, and what the trigger says about it."""
    (entry,) = messages.split(letter.data)
    event = messages.decode(BatchedEvent, entry)
    return decode(event.payload), decode(event.meta)

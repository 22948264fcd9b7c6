"""Asking: a question to the owner of a partition, asked again while the partition changes hands.

Does not: read what an open run is like (`read_model.journal.ask_owner`, which takes no answer for one).
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec

from ..schemas.messages import FAILURES
from .client import BrokerError, Connection, NoResponders, Unknown

Answer = TypeVar("Answer")

ANSWER_S = 2.0
AGAIN_S = 0.1
"""Between two tries, where nobody owns the partition: it is changing hands."""
PATIENCE_S = 10.0
"""How long an owner is waited for: a partition changes hands within a few seconds."""

_encode = msgspec.msgpack.Encoder().encode


async def ask_patiently(connection: Connection, subject: str, question: Any, form: type[Answer], patience_s: float = PATIENCE_S) -> Answer:
    """Ask until somebody answers. Raises Unknown after `patience_s`, and other BrokerErrors."""
    deadline = asyncio.get_running_loop().time() + patience_s
    data = _encode(question)
    while True:
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            reply = await connection.request(subject, data, timeout_s=max(0.05, min(ANSWER_S, left_s)))
            return msgspec.msgpack.decode(reply.data, type=form)
        except (NoResponders, Unknown) as error:
            if asyncio.get_running_loop().time() + AGAIN_S >= deadline:
                raise Unknown(f"no coordinator answers on {subject!r}; is one running?", maybe_done=False) from error
            await asyncio.sleep(AGAIN_S)
        except FAILURES as error:
            raise BrokerError(f"the answer on {subject!r} is of another version: {error}") from None

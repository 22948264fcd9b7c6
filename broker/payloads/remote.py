"""Asking the holder of an entry to upload it, so that another host can have it.

The question goes to `upload.<host>`, which one of the processes with that arena takes. An upload may take longer than one waits for an
answer: then the answer is "under way", and one asks again. Nobody answers: the host is gone, or its processes are starting; after GIVE_UP_S
the value counts as lost.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from ...schemas import subjects
from ...schemas.payload import encode
from ...schemas.payload_errors import PayloadError, PayloadLost
from ...schemas.ref import Ref
from ..client import Connection, Unknown

ANSWER_S = 5.0
GIVE_UP_S = 15.0
"""Longer than a worker needs to be started again, also by a supervisor that waits a few seconds; shorter than the timeout of most nodes."""
AGAIN_S = 0.25

UNDER_WAY, UPLOADED, LOST, FAILED = range(4)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """`kind`: UNDER_WAY, UPLOADED (`text` is the digest), LOST or FAILED (`text` says why)."""

    kind: int
    text: str = ""


class Holders:
    """The holders of entries, as whoever needs one sees them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def uploaded(self, ref: Ref) -> str:
        """The digest of the object that the entry is now. Raises PayloadLost, PayloadError, BrokerError."""
        silent_since = time.monotonic()
        while True:
            answer = await self._ask(ref)
            if answer is not None or not self._connection.is_connected:
                silent_since = time.monotonic()  # of a holder that cannot be asked, nobody knows that it is gone
            if answer is not None:
                if answer.kind == UPLOADED:
                    return answer.text
                if answer.kind == LOST:
                    raise PayloadLost(f"{ref} is lost: {answer.text}", [ref])
                if answer.kind == FAILED:
                    raise PayloadError(f"host {ref.host} cannot upload {ref}: {answer.text}")
                continue
            if time.monotonic() - silent_since > GIVE_UP_S:
                raise PayloadLost(f"{ref} is lost: no process of host {ref.host} has answered for {GIVE_UP_S:g} s", [ref])
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, ref: Ref) -> Answer | None:
        try:
            message = await self._connection.request(subjects.upload(ref.host), encode(ref.whole), timeout_s=ANSWER_S + 1)
            return msgspec.msgpack.decode(message.data, type=Answer)
        except (Unknown, msgspec.MsgspecError):
            return None

"""Asking the holder of an entry to upload it, so that another host can have it.

The question goes to `upload.<host>`, which one of the processes with that arena takes. An upload may take longer than one waits for an
answer: then the answer is "under way", and one asks again. Nobody answers: the host is gone, or its processes are starting; after GIVE_UP_S
the value counts as lost.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.messages import FAILURES
from ...schemas.payload import encode
from ...schemas.payload_errors import PayloadElsewhere, PayloadLost
from ...schemas.ref import Ref
from ..client import Connection, Unknown

ANSWER_S = 5.0
GIVE_UP_S = 15.0
"""Longer than a worker needs to be started again, also by a supervisor that waits a few seconds; shorter than the timeout of most nodes."""
AGAIN_S = 0.25
TOLD_AFTER_S = 1.0
"""A host that does not answer for so long is worth a line in the log, and people see what waits for it."""
SILENT_MAX = 20

UNDER_WAY, UPLOADED, LOST, FAILED = _KINDS = range(4)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """`kind`: UNDER_WAY, UPLOADED (`text` is the digest), LOST or FAILED (`text` says why)."""

    kind: int
    text: str = ""


class Holders:
    """The holders of entries, as whoever needs one sees them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._silent: dict[Ref, None] = {}

    def silent(self) -> list[tuple[str, str]]:
        """What is being asked for in vain: runs, and the hosts that have their values; at most SILENT_MAX."""
        return sorted({(ref.run, ref.host) for ref in self._silent})[:SILENT_MAX]

    async def uploaded(self, ref: Ref) -> str:
        """The digest of the object that the entry is now. Raises PayloadLost, PayloadElsewhere, BrokerError."""
        try:
            return await self._uploaded(ref)
        finally:
            self._silent.pop(ref, None)

    async def _uploaded(self, ref: Ref) -> str:
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
                    raise PayloadElsewhere(f"host {ref.host} cannot upload {ref}: {answer.text}", ref)
                self._silent.pop(ref, None)
                continue
            if ref not in self._silent and time.monotonic() - silent_since > TOLD_AFTER_S:
                self._silent[ref] = None
                _log.warning("a value's host does not answer", host=ref.host, ref=str(ref), run=ref.run, given_up_after_s=GIVE_UP_S)
            if time.monotonic() - silent_since > GIVE_UP_S:
                raise PayloadLost(f"{ref} is lost: no process of host {ref.host} has answered for {GIVE_UP_S:g} s", [ref])
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, ref: Ref) -> Answer | None:
        try:
            message = await self._connection.request(subjects.upload(ref.host), encode(ref.whole), timeout_s=ANSWER_S + 1)
            answer = msgspec.msgpack.decode(message.data, type=Answer)
            return answer if answer.kind in _KINDS else None  # of another version: as good as none
        except (Unknown, *FAILURES):
            return None


_log = structlog.get_logger("jetfleet.payloads")

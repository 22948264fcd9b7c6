"""The holder: uploads entries of this host's arena when another host asks for them.

Any process with the arena can do it; of several the broker chooses one for each question. The same entry is uploaded once at a time,
and who asks for it meanwhile is told that it is under way.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError
from ...schemas.payload import decode
from ...schemas.payload_errors import PayloadLost
from ...schemas.ref import Ref
from ..client import BrokerError, Connection, Message
from .plane import Plane
from .remote import ANSWER_S, FAILED, LOST, UNDER_WAY, UPLOADED, Answer

_QUEUE = "holders"
_encode = msgspec.msgpack.Encoder().encode


class Holder:
    """Answers for the arena of this plane, from `start` to `stop`."""

    def __init__(self, connection: Connection, plane: Plane) -> None:
        self._connection = connection
        self._plane = plane
        self._uploads: dict[tuple[str, str, int, int], asyncio.Task[Answer]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises ArenaUnusable, BrokerError."""
        arena = self._plane.arena
        assert arena is not None
        self._subscription = await self._connection.subscribe(subjects.upload(arena.host), self._asked, queue=_QUEUE)

    async def stop(self) -> None:
        await self._subscription.stop()
        tasks = [*self._answering, *self._uploads.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _asked(self, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Message) -> None:
        try:
            ref = decode(message.data)
            if not isinstance(ref, Ref):
                raise TypeError
        except (JetfleetError, TypeError):
            answer = Answer(FAILED, "the question is no ref")
        else:
            answer = await self._uploaded(ref)
        with suppress(BrokerError):  # who gets no answer asks again
            await message.respond(_encode(answer))

    async def _uploaded(self, ref: Ref) -> Answer:
        upload = self._uploads.get(ref.entry)
        if upload is None:
            upload = self._uploads[ref.entry] = asyncio.create_task(self._upload(ref))
            upload.add_done_callback(lambda _: self._uploads.pop(ref.entry, None))
        try:
            return await asyncio.wait_for(asyncio.shield(upload), ANSWER_S)
        except TimeoutError:
            return Answer(UNDER_WAY)

    async def _upload(self, ref: Ref) -> Answer:
        try:
            return Answer(UPLOADED, await self._plane.upload(ref, ref.run))
        except PayloadLost as error:
            return Answer(LOST, str(error))
        except JetfleetError as error:
            _log.warning("a payload cannot be uploaded for another host", ref=str(ref), code=error.code, error=str(error))
            return Answer(FAILED, f"{error.code} {error}")
        except Exception as error:  # without an answer the value would count as lost after a while
            _log.exception("a payload cannot be uploaded for another host", ref=str(ref))
            return Answer(FAILED, f"{type(error).__name__}: {error}")


_log = structlog.get_logger("jetfleet.payloads")

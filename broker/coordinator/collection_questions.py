"""Collection questions: an owner's answers to which run an event has become a part of, and to what is gathered in its partition.

Both are answered when everything in the WAL has been taken in.
"""

from __future__ import annotations

import msgspec

from ..client import Message
from ..collection_views import SHOWN_MAX
from .answering import Answering

_event = msgspec.msgpack.Decoder(tuple[str, str])
_flow = msgspec.msgpack.Decoder(str)
_encode = msgspec.msgpack.Encoder().encode


class CollectionQuestions(Answering):
    """Those of one partition."""

    def joined(self, message: Message) -> None:
        self._answer(self._tell_joined(message))

    def collections(self, message: Message) -> None:
        self._answer(self._tell_collections(message))

    async def _tell_joined(self, message: Message) -> None:
        """The run that an event is, or will be, a part of; "" if that is not known any more, nil if the event has not been taken."""
        _, event = _event.decode(message.data)
        if await self._ours():
            await message.respond(_encode(self._partition.collections.joined(event)))

    async def _tell_collections(self, message: Message) -> None:
        flow = _flow.decode(message.data)
        if await self._ours():
            views = [view for view in self._partition.collections.views() if flow in ("", view.flow)]
            await message.respond(_encode(sorted(views, key=lambda view: view.first_at)[:SHOWN_MAX]))

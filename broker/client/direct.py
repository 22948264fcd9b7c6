"""Batch reads: many stored messages for one question, without a consumer (JetStream's direct get, which a stream must allow).

The server answers with the messages and then an end mark; a page is bounded by bytes, since nothing paces the server while it answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import NoResponders, Refused, Unknown
from .message import Message
from .stored import StoredMessage, from_message

if TYPE_CHECKING:
    from .connection import Connection

PAGE_BYTES, PAGE_MESSAGES = 1 << 20, 1_000
ANSWER_S = 5.0
TOO_MANY = 413
_END, _NOTHING = 204, 404
_encode = msgspec.json.encode


class Page:
    """`messages` in the order of their sequences; `more`: there are others behind them, up to `up_to_seq`."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        self.more = False
        self.up_to_seq = 0
        self.status = 0
        self.text = ""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, message: Message) -> None:
        if not message.status or "Nats-Sequence" in message.headers:
            self.messages.append(from_message(message))
            return
        self.status, self.text = message.status, message.status_text
        self.more = message.headers.get("Nats-Num-Pending", "0") != "0"
        self.up_to_seq = int(message.headers.get("Nats-UpTo-Sequence", 0))
        if not self.ended.done():
            self.ended.set_result(None)

    def give_up(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def read_page(connection: Connection, stream: str, question: dict[str, Any]) -> Page:
    """Raises Unknown if the answer does not come to its end in time, NoResponders without such a stream, Refused (`status` says why)."""
    page = Page()
    subject = f"$JS.API.DIRECT.GET.{stream}"
    token = connection.inbox.expect(page.take, page.give_up, subject)
    timer = asyncio.get_running_loop().call_later(ANSWER_S, page.give_up)
    try:
        await connection.send(subject, _encode(question), reply=connection.inbox.address(token))
        await page.ended
    finally:
        timer.cancel()
        denied = connection.inbox.forget(token)
    if denied is not None:
        raise denied
    if page.status == 0:
        raise Unknown(f"stream {stream} did not send a whole page within {ANSWER_S:g} s, or was cut off; read it again", maybe_done=False)
    if page.status == 503:
        raise NoResponders(subject, f"there is no stream {stream}, or it does not allow direct gets")
    if page.status not in (_END, _NOTHING):
        raise Refused(f"stream {stream}: {page.text}; narrow the question", status=page.status, description=page.text)
    return page

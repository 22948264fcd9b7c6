"""The pull: a continuous stream of messages from a durable consumer, never more at a time than there is room for.

It asks for as many messages as there is room, and again when half of them have come, so that the next are on their way while these are
worked on. It goes on by itself after an ask ran out, a server restarted, heartbeats stayed away or the consumer was deleted (then `repair`
has to make it anew). An ask belongs to one inbox; after a cut there is a new inbox, so that asks of before cannot fill it a second time.

Delivery is at least once: a message that was under way when the connection broke comes again when the consumer's `ack_wait` is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import TYPE_CHECKING

import structlog

from .errors import BrokerError
from .message import Message
from .wire import encode_publish

if TYPE_CHECKING:
    from .connection import Connection, Subscription

EXPIRES_S, HEARTBEAT_S, SILENCE_S = 30, 1, 3.0
BACKOFF_S, BACKOFF_MAX_S = 0.05, 1.0
_HEARTBEAT, _NOBODY, _CONFLICT, _EXPIRED = 100, 503, 409, 408
_log = structlog.get_logger(__name__)


class Pull:
    """`handle` is a plain function that must not block. `room`: how many more messages may be on their way to it, asked often, so cheap.

    `repair` makes the consumer (and its stream) if it is not there; it may be called at any time, and again if it raises. With `fresh`
    it is called before every start of asking: after each cut, too.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        consumer: str,
        handle: Callable[[Message], None],
        *,
        room: Callable[[], int],
        repair: Callable[[], Awaitable[None]] | None = None,
        fresh: bool = False,
    ) -> None:
        self.stream, self.consumer = stream, consumer
        self._connection, self._handle, self._room, self._repair, self._fresh = connection, handle, room, repair, fresh
        self._loop = asyncio.get_running_loop()
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._asks = 0
        self._asked = self._low = 0  # messages asked for that have not come; when to ask again
        self._backoff_s = BACKOFF_S
        self._heard_s = 0.0
        self._running = self._stopping = False
        self._recovering: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin. With `fresh`, raises what `repair` raises; otherwise whatever is wrong now is put right later."""
        if self._fresh and self._repair is not None:
            await self._repair()
        self._running = True
        self._connection.on_disconnect.append(self._on_disconnect)
        self._connection.on_reconnect.append(self._on_reconnect)
        self._watch = self._loop.call_later(HEARTBEAT_S, self._check_silence)
        self._begin()

    def wake(self) -> None:
        """There is room (again)."""
        self._top_up()

    async def stop(self) -> None:
        """Ask no more. Messages that still arrive are given back; after this returns, none do."""
        self._stopping, self._running = True, False
        for listeners, listener in (
            (self._connection.on_disconnect, self._on_disconnect),
            (self._connection.on_reconnect, self._on_reconnect),
        ):
            if listener in listeners:
                listeners.remove(listener)
        for timer in (self._watch, self._again):
            if timer is not None:
                timer.cancel()
        if self._recovering is not None:
            self._recovering.cancel()
        if self._subscription is not None:
            await self._subscription.stop()
            self._subscription = None

    def restart(self) -> None:
        """Forget all asks and begin anew, on a new inbox."""
        self._recover(repair=False)

    # --- asking

    def _begin(self) -> None:
        self._inbox = f"{self._connection.credentials.inbox}.{token_hex(11)}"
        self._subscription = self._connection.listen(f"{self._inbox}.*", self._on_message)
        self._asked = self._low = 0
        self._top_up()

    def _top_up(self) -> None:
        if not self._running or self._subscription is None or self._recovering is not None or self._again is not None:
            return
        room = self._room()
        count = room - self._asked
        if count <= 0 or 2 * self._asked > room:
            return
        if not self._asked:
            self._heard_s = self._loop.time()
        if self._ask(count):
            self._asked += count
            self._low = self._asked // 2

    def _ask(self, count: int) -> bool:
        self._asks += 1
        question = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (count, EXPIRES_S * 10**9, HEARTBEAT_S * 10**9)
        # The size of the ask stands in the address of its answers, so that one that says "all of it is void" says how much that is.
        reply = f"{self._inbox}.{self._asks}-{count}"
        command, _ = encode_publish(f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}", question, reply)
        return self._connection.try_write(command)

    # --- what comes

    def _on_message(self, message: Message) -> None:
        self._heard_s = self._loop.time()
        status = message.status
        if status and message.subject.startswith(self._inbox):  # else it is a stored message that pretends to be a status
            self._on_status(status, message)
            return
        if self._stopping:
            message.give_back()
            return
        self._backoff_s = BACKOFF_S
        self._asked -= 1
        try:
            self._handle(message)
        finally:
            if self._asked <= self._low:
                self._top_up()

    def _on_status(self, status: int, message: Message) -> None:
        if status == _HEARTBEAT or not self._running:
            return
        void = message.headers.get("Nats-Pending-Messages") or message.subject.rpartition("-")[2]
        self._asked = max(0, self._asked - int(void))
        self._low = min(self._low, self._asked)
        if status == _EXPIRED:
            self._top_up()
        elif status == _NOBODY or (status == _CONFLICT and "Deleted" in message.status_text):
            self._recover(repair=True)
        else:
            _log.debug("pull_status", stream=self.stream, consumer=self.consumer, status=status, reason=message.status_text)
            self._ask_later()

    def _ask_later(self) -> None:
        if self._again is None:
            self._again = self._loop.call_later(self._backed_off(), self._ask_again)

    def _ask_again(self) -> None:
        self._again = None
        self._top_up()

    def _backed_off(self) -> float:
        wait_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, BACKOFF_MAX_S)
        return wait_s

    # --- when nothing comes

    def _on_disconnect(self) -> None:
        if self._subscription is not None:
            self._subscription.drop()
            self._subscription = None

    def _on_reconnect(self) -> None:
        self._recover(repair=False)

    def _check_silence(self) -> None:
        self._watch = self._loop.call_later(HEARTBEAT_S, self._check_silence)
        silent = self._loop.time() - self._heard_s > SILENCE_S
        if self._asked and silent and self._connection.is_connected and self._subscription is not None:
            _log.info("pull_silent", stream=self.stream, consumer=self.consumer)
            self._recover(repair=False)

    def _recover(self, *, repair: bool) -> None:
        if self._running and self._recovering is None:
            self._recovering = self._loop.create_task(self._repaired(repair or self._fresh, wait=repair))
            self._recovering.add_done_callback(self._recovered)

    async def _repaired(self, repair: bool, wait: bool) -> None:
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.stop()
        while True:
            if wait:
                await asyncio.sleep(self._backed_off())
            if not repair or self._repair is None:
                return
            try:
                await self._repair()
                return
            except BrokerError as error:
                _log.info("pull_not_repaired", stream=self.stream, consumer=self.consumer, error=str(error))
            except Exception:
                _log.exception("pull_not_repaired", stream=self.stream, consumer=self.consumer)
            wait = True

    def _recovered(self, task: asyncio.Task[None]) -> None:
        self._recovering = None
        if self._running and not task.cancelled():
            self._begin()

"""Who asks a consumer for messages: served in turn, told every now and then that there is nothing, and sent away when their time is over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import asks
from .asks import Ask

if TYPE_CHECKING:
    from .server import SimulatedServer


class Waiting:
    """Of one consumer. `places`: its delivery's number and the stream's sequence, as heartbeats tell them.

    `active_s`: when somebody last wanted something of the consumer, or was given it.
    """

    def __init__(self, server: SimulatedServer, places: Callable[[], tuple[int, int]]) -> None:
        self._server, self._clock, self._places = server, server.clock, places
        self._asks: deque[Ask] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = float("inf")
        self.active_s = self._clock.now_s()

    def __len__(self) -> int:
        return len(self._asks)

    def take(self, reply: str, question: dict[str, Any], messages: int, most: int) -> bool:
        """An ask has come, while the consumer has so many messages to give. False: it is answered already."""
        now_s = self.active_s = self._clock.now_s()
        ask = Ask(reply, question, now_s)
        if ask.no_wait:
            if not messages and not ask.expires_s:
                self._server.say(reply, asks.NO_MESSAGES)
                return False
            self.look()
            if 0 < messages < sum(each.batch for each in self._asks):
                self._server.say(reply, asks.PENDING)
                return False
        if len(self._asks) >= most:
            if not ask.beat_s:
                self._server.say(reply, asks.TOO_MANY)
            return False
        self._asks.append(ask)
        return True

    def next(self) -> Ask | None:
        """Whose turn it is."""
        now_s = self._clock.now_s()
        while self._asks:
            ask = self._asks[0]
            if ask.expired(now_s):
                self._expire(ask)
            elif self._server.listens(ask.reply):
                return ask
            self._asks.popleft()
        return None

    def served(self, ask: Ask) -> None:
        """Who had the turn has a message more."""
        now_s = self.active_s = self._clock.now_s()
        self._asks.popleft()
        ask.batch -= 1
        ask.given += 1
        if ask.batch > 0:
            self._asks.append(ask)
        if ask.beat_s:
            ask.beats_at_s = now_s + ask.beat_s

    def rest(self, stalled: bool) -> None:
        """There is nothing to give now: those who do not want to wait go, unless the consumer may just not give what there is."""
        if not stalled:
            for ask in [ask for ask in self._asks if ask.no_wait and (not ask.expires_s or ask.given)]:
                self._server.say(ask.reply, asks.NO_MESSAGES)
                self._asks.remove(ask)
        self._set_timer()

    def look(self) -> None:
        """End what is over or whose asker is gone, and tell the others that there is nothing yet."""
        now_s = self._clock.now_s()
        for ask in list(self._asks):
            if ask.expired(now_s):
                self._expire(ask)
                self._asks.remove(ask)
            elif not self._server.listens(ask.reply):
                self._asks.remove(ask)
            elif ask.beat_s and now_s >= ask.beats_at_s:
                self._server.say(ask.reply, asks.beat(*self._places()))
                ask.beats_at_s = now_s + ask.beat_s

    def close(self) -> None:
        """The consumer is deleted: who waits is told."""
        for ask in self._asks:
            self._server.say(ask.reply, asks.DELETED)
        self._asks.clear()
        if self._timer is not None:
            self._timer.cancel()

    def recover(self) -> None:
        """Of a server that starts anew: nobody asks."""
        self._asks.clear()
        self._timer, self._fires_s = None, float("inf")
        self.active_s = self._clock.now_s()

    def _expire(self, ask: Ask) -> None:
        self.active_s = max(self.active_s, ask.expires_s)
        self._server.say(ask.reply, asks.timed_out(ask))

    def _set_timer(self) -> None:
        next_s = min((ask.next_s() for ask in self._asks), default=float("inf"))
        if next_s >= self._fires_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._fires_s = next_s
        self._timer = self._clock.later(next_s - self._clock.now_s(), self._fire)

    def _fire(self) -> None:
        self._timer, self._fires_s = None, float("inf")
        self.look()
        self._set_timer()

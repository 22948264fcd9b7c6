"""An endpoint: from a request to its reply, one question after the other, the cheap ones first.

is it being closed?                   503
may this address call?                403
who calls (key, token, password)?     401
is the body of a kind, and small?     415, 413, 408
is the signature right?               401
is the trigger paused?                503
how often is it called?               429
what does it say?                     400
which delivery is it? fire            202, or 422, 503
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from ...broker.triggers.firing import Fate, Firing
from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.webhook import WebhookParams
from . import content
from .addresses import Addresses
from .deliveries import Deliveries
from .guard import Guard
from .guards import CurrentGuard
from .meta import meta_of, trace_of
from .outcome import Outcomes, accepted
from .rate import Rate
from .replies import Refusal, Reply, unavailable
from .request import Request
from .routes import PathTaken
from .spool import beside

KEY_MAX = 256


class Endpoint:
    """`fire`: what makes an event of a firing. `outcomes`: where the caller waits for the end of the run; None: it does not.

    `on_loss`: told when it takes nothing any more.
    """

    def __init__(
        self,
        name: str,
        params: WebhookParams,
        guards: CurrentGuard,
        fire: Callable[[Firing], Awaitable[Fate]],
        outcomes: Outcomes | None,
        on_loss: Callable[[], None],
    ) -> None:
        self.name, self.params = name, params
        self.refusing = ""
        """Why nothing is taken any more; "": it is."""
        self.paused = ""
        """Why nothing is taken for a while. That is for those to know who may call."""
        self.lost: SourceBroken | None = None
        """Why it takes nothing any more: the path is another one's by now, or a secret is missing."""
        self.answering = 0
        """Requests that were not answered yet."""
        self.turned_away: Counter[int] = Counter()
        """Requests that were refused, by status."""
        self._guards = guards
        self._fire = fire
        self._outcomes = outcomes
        self._on_loss = on_loss
        self._addresses = Addresses(params.allow_ips, params.trusted_proxies)
        self._rate = None if params.rate_limit is None else Rate(params.rate_limit, params.rate_burst)
        self._deliveries = Deliveries()
        self._id_header = guards.now().id_header if params.idempotency_header is None else params.idempotency_header.lower().encode()
        self._timeout_s = params.read_timeout_ms / 1000

    def lose(self, error: PathTaken) -> None:
        """The path goes to another trigger."""
        self._break(error, "the path belongs to another trigger now: send the request again")

    async def answer(self, request: Request) -> Reply:
        """Raises Refusal, Disconnected."""
        self.answering += 1
        try:
            return await self._answer(request)
        except Refusal as refusal:
            self.turned_away[refusal.status] += 1
            raise
        finally:
            self.answering -= 1
            request.done()

    async def _answer(self, request: Request) -> Reply:
        if self.refusing:
            raise unavailable("NOT_TAKING", self.refusing, close=True)
        remote = self._addresses.admit(request)
        guard = self._guard()
        guard.admit(request)
        content.check_head(request, self.params.content)
        body = await request.body(self.params.max_body_bytes, self._timeout_s)
        await beside(body, guard.verify, request, body)
        if self.paused:
            raise unavailable("NOT_TAKING", self.paused, close=True)
        if self._rate is not None:
            self._rate.take()
        value = await content.read(request, body, self.params.content)
        greeting = guard.handshake(value)
        if greeting is not None:
            return Reply(200, greeting, ((b"content-type", b"text/plain"),))
        fate = await self._fate(request, value, remote, guard)
        return accepted(fate) if self._outcomes is None else await self._outcomes.reply(fate)

    def _guard(self) -> Guard:
        """Raises Refusal if there is none, since a secret was taken away."""
        try:
            return self._guards.now()
        except SourceBroken as error:
            self._break(error, "the trigger cannot take requests: send the request again later")
            raise unavailable("NOT_SERVING", self.refusing, close=True) from None

    def _break(self, error: SourceBroken, refusing: str) -> None:
        self.lost, self.refusing = error, refusing
        self._on_loss()

    async def _fate(self, request: Request, value: Any, remote: str, guard: Guard) -> Fate:
        known = self._key(request, value, guard)
        firing = Firing(known or os.urandom(16).hex(), value, meta_of(request, remote, guard), trace=trace_of(request))
        if known is None:
            return await self._fire(firing)
        return await self._deliveries.once(known, lambda: self._fire(firing))

    def _key(self, request: Request, value: Any, guard: Guard) -> str | None:
        """What names the delivery; None: nothing does, and each request is one of its own. Raises Refusal."""
        sent = request.one(self._id_header) if self._id_header else None
        if not sent:
            return guard.delivery(request, value)
        if len(sent) > KEY_MAX or not sent.isascii():
            raise Refusal(400, "BAD_KEY", f"the header {self._id_header.decode()} must be ASCII of at most {KEY_MAX} characters")
        return sent.decode()

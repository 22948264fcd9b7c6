"""The source of a webhook trigger: it waits for requests at a path, and tells each caller what became of its own.

Guarantees: 202 is said when the event is on disk. A caller that got no answer, or 503, may send the same request again: with a key, or a
signature, it is the same run.
Does not: keep requests. Who is turned away because the trigger is paused, or nothing can be stored, has to send again.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import structlog

from ...broker.triggers.firing import Fate, Firing
from ...broker.triggers.source import Site, Source, SourceBroken, Spec
from ...schemas.flow.triggers.webhook import EVERY_ADDRESS, WebhookParams
from .claims import Claims
from .endpoint import Endpoint
from .guards import CurrentGuard
from .listener import Listener
from .outcome import RETRY_AFTER_S, Outcomes
from .replies import unavailable

log = structlog.get_logger("jetfleet.triggers")

LISTEN = "JETFLEET_WEBHOOK_LISTEN"
"""Environment: `host:port` to listen on instead of what flows say, for all webhooks of the process. Port 0: a free one."""
ANSWER_S = 1.5
"""How long those whose request has come get to read their answer when the trigger is closed."""


class WebhookSource(Source):
    """`address`: where it listens, once it does."""

    in_flight_max = 16_384
    patient = False
    buries = False

    def __init__(self, spec: Spec, site: Site) -> None:
        self._spec, self._site = spec, site
        self._params: WebhookParams = spec.params
        self._waiting: deque[Firing] = deque()
        self._open: set[asyncio.Future[Fate]] = set()
        self._arrived = asyncio.Event()
        self._listening = asyncio.Event()
        self._paused = self._closing = ""
        self._key: Any = None
        self._listener: Listener | None = None
        self._endpoint: Endpoint | None = None
        self._outcomes: Outcomes | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. Only once it listens."""
        assert self._listener is not None
        return self._listener.address

    async def listening(self) -> tuple[str, int]:
        """Waits until requests are taken; then the address."""
        await self._listening.wait()
        return self.address

    async def firings(self) -> AsyncIterator[Firing]:
        await self._listen()
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._endpoint is not None and self._endpoint.lost is not None:
                raise self._endpoint.lost
            self._arrived.clear()
            await self._arrived.wait()

    def confirm(self, firing: Firing, fate: Fate) -> None:
        if not firing.token.done():
            firing.token.set_result(fate)

    def pause(self) -> None:
        self._tell(paused="the trigger is paused: send the request again later")

    def resume(self) -> None:
        self._tell()

    async def close(self) -> None:
        self._tell(closing="the trigger is being closed: send the request again later")
        for future in self._open:
            if not future.done():
                future.set_exception(unavailable("CLOSED", "the trigger was closed before the event was stored: send the request again"))
        if self._outcomes is not None:
            self._outcomes.end()
        if self._listener is not None:
            await self._leave(self._listener)

    def status(self) -> str:
        if not self._listening.is_set():
            return ""
        host, port = self.address
        host = f"[{host}]" if ":" in host else host
        where = f"{'|'.join(self._params.methods)} http://{host}:{port}{self._params.path}"
        refused = ", ".join(f"{status}: {count:,}" for status, count in sorted(self._turned_away().items()))
        return f"{where} (turned away: {refused})" if refused else where

    # ---

    async def _listen(self) -> None:
        """Raises SourceBroken: a secret is missing, the port or the path is taken."""
        host, port = listen_on(self._params)
        self._key = ("http listener", host, port)
        self._listener = await self._site.shared.use(self._key, lambda: Listener(host, port, _claims(self._site, host, port)))
        self._listener.claim(self._params)
        guards = CurrentGuard(self._params.auth)
        if self._params.wait:
            self._outcomes = Outcomes(self._site.client, self._params.timeout_ms / 1000, self._params.reveal_errors)
        self._endpoint = Endpoint(self._spec.name, self._params, guards, self._fire, self._outcomes, self._arrived.set)
        self._endpoint.paused, self._endpoint.refusing = self._paused, self._closing
        await self._listener.open()
        self._listener.claim(self._params)  # once more: others may have come while it was opened
        self._listener.add(self._params, self._endpoint)
        self._listening.set()
        if self._params.open_to_all and host in EVERY_ADDRESS:
            log.warning("a webhook takes requests of everybody, on every address", trigger=self._spec.name, port=self.address[1],
                        next="give it `auth` or `allow_ips`, or `host: 127.0.0.1` behind a proxy")  # fmt: skip

    async def _fire(self, firing: Firing) -> Fate:
        refusing = self._closing or self._paused
        if refusing or len(self._open) >= self.in_flight_max:
            raise unavailable("NOT_TAKING", refusing or "too many requests at a time: try again")
        if not self._site.client.connection.is_connected:  # known at once: nobody has to wait until the publish gives up
            raise unavailable("NOT_STORED", "the event cannot be stored at the moment: send the request again later", RETRY_AFTER_S)
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        firing.token = future
        self._open.add(future)
        self._waiting.append(firing)
        self._arrived.set()
        try:
            return await future
        finally:
            self._open.discard(future)

    def _tell(self, paused: str = "", closing: str = "") -> None:
        self._paused, self._closing = paused, closing
        if self._endpoint is not None:
            self._endpoint.paused, self._endpoint.refusing = paused, closing

    def _turned_away(self) -> Mapping[int, int]:
        return {} if self._endpoint is None else self._endpoint.turned_away

    async def _leave(self, listener: Listener) -> None:
        try:
            if self._endpoint is not None:
                await listener.answered(self._endpoint, ANSWER_S)
        finally:
            if self._endpoint is not None:
                listener.remove(self._endpoint)
            await self._site.shared.leave(self._key)


def _claims(site: Site, host: str, port: int) -> Claims:
    """Those of this address. What the environment says holds for all triggers of the process."""
    return Claims(site, lambda params: listen_on(params) == (host, port))


def listen_on(params: WebhookParams) -> tuple[str, int]:
    """Raises SourceBroken if the environment says something that is no address."""
    text = os.environ.get(LISTEN, "")
    if not text:
        return params.host, params.port
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65_536):
        raise SourceBroken(f"{LISTEN} is {text!r}, which is no address: write HOST:PORT, such as 0.0.0.0:8080")
    return host.strip("[]"), int(port)

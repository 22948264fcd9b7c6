"""Injected: the source of triggers that programs fire by a call, `memory` and `manual`.

Guarantees: `fire` returns when the events are on disk. At most `capacity` calls wait; the next one waits for its turn outside.
Does not: remember anything. A call that did not return before its process died may be made again with the same key.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..broker.triggers.firing import Fate, Firing
from ..broker.triggers.service import Triggers
from ..broker.triggers.source import Site, Source, SourceFailed, Spec
from ..schemas.errors import JetfleetError, UsageError


class NotFired(JetfleetError):
    """A firing was not known to be on disk when its time was over. It may get there yet: the same key is the same run."""

    code = "NOT_FIRED"


class Injected(Source):
    """`count`: how often it was fired here."""

    buries = False

    def __init__(self, spec: Spec, site: Site) -> None:
        self._type = spec.type
        self._waiting: asyncio.Queue[Firing] = asyncio.Queue(spec.params.buffer_size)
        self._open: set[asyncio.Future[Fate]] = set()
        self._closed = False
        self.count = 0

    async def fire(self, payload: Any = None, *, key: str | None = None, meta: Mapping[str, Any] | None = None, trace: str = "") -> Fate:
        """Fire the trigger and wait until the events are on disk. The same `key` is the same run, however often it is fired.

        Raises UsageError for a key that is no text, SourceFailed if the source was closed before that was certain: fire again then, with
        the same key.
        """
        if key is not None and not _is_text(key):
            raise UsageError(f"the key {key!r} is no text that UTF-8 can hold")
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._open.add(future)
        try:
            self._require_open()
            self.count += 1
            described = {"number": self.count} if meta is None else meta
            await self._waiting.put(Firing(uuid.uuid4().hex if key is None else key, payload, described, future, trace))
            self._require_open()
            return await future
        finally:
            self._open.discard(future)

    async def firings(self) -> AsyncIterator[Firing]:
        while True:
            yield await self._waiting.get()

    def confirm(self, firing: Firing, fate: Fate) -> None:
        if not firing.token.done():  # who waited may have given up
            firing.token.set_result(fate)

    async def close(self) -> None:
        self._closed = True
        for future in self._open:
            if not future.done():
                future.set_exception(SourceFailed(_CLOSED))
        while not self._waiting.empty():  # let in those who wait for room: they find it closed
            self._waiting.get_nowait()

    def status(self) -> str:
        return f"{self._waiting.qsize()} of {self._waiting.maxsize} calls wait" if self._waiting.qsize() else ""

    def _require_open(self) -> None:
        if self._closed:
            raise SourceFailed(_CLOSED)


def _is_text(key: Any) -> bool:
    try:
        return isinstance(key, str) and bool(key.encode())
    except UnicodeEncodeError:
        return False


_CLOSED = "the trigger was closed before its event was on disk for certain: fire it again, with the same key"


async def inject(
    triggers: Triggers,
    flow: str,
    trigger: str,
    payload: Any = None,
    *,
    key: str | None = None,
    meta: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
) -> Fate:
    """Fire a memory or manual trigger that `triggers` serves: its runs by flow, and by flow why it was refused.

    While the trigger is paused the call waits, for `timeout_s` at most; None: until it is resumed. Raises UsageError if it is no such
    trigger, SourceFailed, NotFired if the time is over.
    """
    source = await triggers.source(flow, trigger)
    if not isinstance(source, Injected):
        raise UsageError(
            f"trigger {trigger!r} of flow {flow!r} is of type {type(source).__name__}: only memory and manual ones are injected"
        )
    try:
        async with asyncio.timeout(timeout_s):
            return await source.fire(payload, key=key, meta=meta)
    except TimeoutError:
        state = triggers.state(flow, trigger)
        raise NotFired(
            f"trigger {flow}.{trigger} ({state}) did not take the event within {timeout_s:g} s, and may still: "
            "fire it again with the same key"
        ) from None

"""A source that a test moves by hand, and that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from jetfleet.broker.triggers.firing import Fate, Firing
from jetfleet.broker.triggers.source import Source, Spec


class ByHand(Source):
    """`told`: pause, resume, open, close, in order. `gate`: `close` waits for it. `confirmed`: fates by key."""

    def __init__(self, spec: Spec | None = None, told: list[str] | None = None) -> None:
        self.spec = spec
        self.told = [] if told is None else told
        self.gate: asyncio.Event | None = None
        self.confirmed: dict[str, Fate] = {}
        self.asked = 0
        self._happens: asyncio.Queue[Firing | BaseException | None] = asyncio.Queue()

    def fire(self, key: str, payload: Any = None) -> None:
        self._happens.put_nowait(Firing(key, payload))

    def fail(self, error: BaseException) -> None:
        self._happens.put_nowait(error)

    def end(self) -> None:
        self._happens.put_nowait(None)

    async def firings(self) -> AsyncIterator[Firing]:
        self.told.append("open")
        while True:
            self.asked += 1
            happens = await self._happens.get()
            if happens is None:
                return
            if isinstance(happens, BaseException):
                raise happens
            yield happens

    def confirm(self, firing: Firing, fate: Fate) -> None:
        self.confirmed[firing.key] = fate

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    async def close(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.told.append("close")


class Workshop:
    """Makes sources, one after the other; `made` are all of them."""

    def __init__(self, kind: Callable[..., ByHand] = ByHand) -> None:
        self._kind = kind
        self.made: list[ByHand] = []
        self.refuse: Exception | None = None

    def make(self, spec: Spec | None = None) -> ByHand:
        if self.refuse is not None:
            raise self.refuse
        self.made.append(self._kind(spec))
        return self.made[-1]

    @property
    def last(self) -> ByHand:
        return self.made[-1]

    def of(self, trigger: str) -> list[ByHand]:
        """Those that were made for a trigger, as `Spec.name` calls it."""
        return [each for each in self.made if each.spec is not None and each.spec.name == trigger]

"""What several sources of a process need one of: made when the first asks for it, closed when the last has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Shared:
    """Things by key; any hashable key that names what it is."""

    def __init__(self) -> None:
        self._things: dict[Any, tuple[Any, int]] = {}
        self._closing: dict[Any, asyncio.Task[None]] = {}

    async def use(self, key: Any, make: Callable[[], T]) -> T:
        """The thing with this key. Whoever uses it calls `leave` once."""
        closing = self._closing.get(key)
        if closing is not None:  # the same port, the same file: not while the old one still has it
            await asyncio.wait([closing])
        thing, users = self._things.get(key) or (make(), 0)
        self._things[key] = thing, users + 1
        return thing

    async def leave(self, key: Any) -> None:
        thing, users = self._things[key]
        if users > 1:
            self._things[key] = thing, users - 1
            return
        del self._things[key]
        task = self._closing[key] = asyncio.get_running_loop().create_task(thing.close())
        task.add_done_callback(lambda _: self._closing.pop(key, None))
        await asyncio.wait([task])

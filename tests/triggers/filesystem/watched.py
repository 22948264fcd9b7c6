"""A filesystem source without a fleet: what it fires is collected, and confirmed as the test says.

async with watched(tmp_path, recursive=True) as one:
    one.write("a.csv", "1")
    (firing,) = await one.fired(1)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.triggers.firing import Fate, Firing
from jetfleet.broker.triggers.shared import Shared
from jetfleet.broker.triggers.source import Site, Spec
from jetfleet.schemas.errors import EventRejected
from jetfleet.schemas.flow.triggers.filesystem import FilesystemParams
from jetfleet.triggers.filesystem.source import FilesystemSource

from ...fleet.trouble import until

STORED = Fate({"flow": "run"})
REFUSED = Fate({}, {"flow": EventRejected("not what the flow wants")})
SETTLE_MS = 30
QUIET_S = 0.3
"""Time enough to see more than was meant to happen."""


class Watched:
    """`confirms`: the fate that each firing is given at once; None: the test confirms."""

    def __init__(self, folder: Path, source: FilesystemSource, confirms: Callable[[Firing], Fate | None]) -> None:
        self.folder, self.source, self.confirms = folder, source, confirms
        self.firings: list[Firing] = []
        self.failed: BaseException | None = None
        self._seen = 0

    def write(self, name: str | bytes, text: str = "x") -> Path:
        """Write a file in one step, as whoever hands files over should."""
        path = self.folder / os.fsdecode(name)
        other = path.with_name("." + "half-written")
        path.parent.mkdir(parents=True, exist_ok=True)
        other.write_text(text)
        return other.rename(path)

    async def fired(self, count: int) -> list[dict[str, Any]]:
        """The payloads of the next firings: so many, and no more of them."""
        await until(lambda: len(self.firings) >= self._seen + count or self.failed is not None, f"{count} firings: {self.events}")
        if self.failed is not None:
            raise self.failed
        found = self.firings[self._seen :]
        self._seen = len(self.firings)
        assert len(found) == count, self.events
        return [firing.payload for firing in found]

    async def nothing_more(self) -> None:
        await asyncio.sleep(QUIET_S)
        assert len(self.firings) == self._seen, self.events

    async def quiet(self) -> None:
        """Wait until nothing has been fired for a while."""
        count = -1
        while count != len(self.firings):
            count = len(self.firings)
            await asyncio.sleep(QUIET_S)

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(payload["event"], payload["name"]) for payload in (firing.payload for firing in self.firings) if type(payload) is dict]

    async def run(self) -> None:
        try:
            async for firing in self.source.firings():
                self.firings.append(firing)
                fate = self.confirms(firing)
                if fate is not None:
                    self.source.confirm(firing, fate)
        except Exception as error:
            self.failed = error


@asynccontextmanager
async def watched(
    tmp_path: Path, *, data: str = "data", trigger: str = "in", confirms: Callable[[Firing], Fate | None] = lambda _: STORED, **params: Any
) -> AsyncIterator[Watched]:
    """The folder `in` of `tmp_path`, watched. `data`: what remembers; `trigger`: whose it is."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    given = FilesystemParams.model_validate({"paths": [str(folder)], "settle_ms": SETTLE_MS} | params)
    source = FilesystemSource(Spec("filesystem", given, (("flow", trigger),)), Site(None, Shared(), tmp_path / data))  # type: ignore[arg-type]
    one = Watched(folder, source, confirms)
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: source.listens or one.failed is not None, "a source that has looked at everything")
        yield one
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await source.close()

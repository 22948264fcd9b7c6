"""A whole fleet for tests that are no coroutines: commands run their own loop, so this one runs in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from jetfleet.workers.up.fleet import FleetSettings, LocalFleet

Value = TypeVar("Value")
TIMEOUT_S = 60


class BackgroundFleet:
    """`fleet` may be used from its own loop only: `do(fleet.client.deploy(…))`."""

    def __init__(self, settings: FleetSettings) -> None:
        self.fleet = LocalFleet(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)

    def __enter__(self) -> BackgroundFleet:
        self._thread.start()
        try:
            self.do(self.fleet.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.do(self.fleet.stop())
        finally:
            self._end()

    @property
    def url(self) -> str:
        return self.fleet.server.url

    def do(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

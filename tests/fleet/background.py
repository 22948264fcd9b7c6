"""A server for tests that are no coroutines, or that run several loops one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from jetfleet.broker.server import EmbeddedServer, ServerSettings

Value = TypeVar("Value")
TIMEOUT_S = 30


class BackgroundServer:
    """An EmbeddedServer on the event loop of a thread of its own. Its methods block: in a coroutine call them by `asyncio.to_thread`."""

    def __init__(self, settings: ServerSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded server", daemon=True)
        self._server = EmbeddedServer(settings)

    def start(self) -> BackgroundServer:
        self._thread.start()
        self._do(self._server.start())
        return self

    def stop(self) -> None:
        """Ends the thread too, so there is no start after it. Does nothing the second time."""
        if self._thread.is_alive():
            self._do(self._server.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def kill(self) -> None:
        """As `kill -9`. It stays down until `restart`, or comes back by itself where the settings allow restarts."""
        self._server.kill()

    def restart(self) -> None:
        """Returns when it takes work again, at the same URL."""
        self._do(self._server.restart())

    def wait_up(self) -> None:
        self._do(self._server.wait_up())

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def monitor_url(self) -> str:
        return self._server.monitor_url

    @property
    def data(self) -> Path:
        return self._server.data

    def _do(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

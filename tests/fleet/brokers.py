"""A nats-server that tests start, kill, start again and empty, always at the same URL."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..client.servers import Server
from .running import run
from .trouble import until

__all__ = ["Broker", "broker", "run", "until"]


class Broker(Server):
    """Nothing that it has acknowledged is lost with its process, nor with its machine."""

    def __init__(self, folder: Path, *, max_file_store: str = "4GB") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, storage=f"sync_interval: always, max_file_store: {max_file_store}, max_memory_store: 1GB")
        self.folder = folder

    def start(self) -> None:
        """Returns when it listens."""
        super().start()
        assert self._process is not None
        end = time.monotonic() + 10
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < end, self._log.read_text()
            time.sleep(0.005)

    def erase(self) -> None:
        """Start anew with an empty store."""
        self.kill()
        shutil.rmtree(self.store)
        self.start()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def broker(folder: Path, *, max_file_store: str = "4GB") -> Iterator[Broker]:
    started = Broker(folder, max_file_store=max_file_store)
    started.start()
    try:
        yield started
    finally:
        started.kill()

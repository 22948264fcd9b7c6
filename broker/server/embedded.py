"""The embedded server: a nats-server with JetStream that belongs to this process.

    async with EmbeddedServer(ServerSettings(data=Path("data"))) as server:
        print(server.url)

Guarantees: when `start` returns, the server takes work and runs as it was told (the limits are read back). When this process ends, in
whatever way, so does the server. When the server dies, it is started again at the same port, each time after a longer pause; after
`restarts` deaths in quick succession it is given up, and `wait` says why. What was acknowledged is on disk if `sync` is "always".
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from .binary import Binary, find_binary
from .config import config_text
from .errors import PortInUse, ServerError, ServerFailed
from .folder import Folder, check_open_files
from .guard import Guard
from .monitor import check_limits
from .ports import free_port
from .process import ServerProcess
from .settings import ServerSettings
from .users import users_text

log = structlog.get_logger("jetfleet.server")

QUICK_DEATH_S = 10.0
"""Who lived longer than this after it was ready is not dying in quick succession."""
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.05, 5.0
_FREE_PORT_TRIES = 5


class EmbeddedServer:
    """A supervised nats-server. `on_exit` is called with the exit code whenever it dies without having been asked to; it must not raise."""

    def __init__(self, settings: ServerSettings, on_exit: Callable[[int], None] | None = None) -> None:
        self.settings = settings
        self.on_exit = on_exit
        self.store_bytes = 0
        self.monitor_url = ""
        self._port = settings.port
        self._binary: Binary | None = None
        self._folder: Folder | None = None
        self._guard: Guard | None = None
        self._process: ServerProcess | None = None
        self._supervision: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        """It takes work, or never will again."""
        self._ended = asyncio.Event()
        self._given_up: ServerFailed | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where clients connect, with the token or user and password that they need."""
        who = self.settings.token or (f"{self.settings.user}:{self.settings.password}" if self.settings.user else "")
        return f"{'tls' if self.settings.tls_cert else 'nats'}://{who + '@' if who else ''}{self.address}"

    @property
    def address(self) -> str:
        """`host:port`, to show to people."""
        return f"{_reachable(self.settings.host)}:{self._port}"

    @property
    def pid(self) -> int:
        """Of the nats-server that runs now; another one after a restart."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def data(self) -> Path:
        assert self._folder is not None, "the server was not started"
        return self._folder.path

    @property
    def version(self) -> str:
        assert self._binary is not None, "the server was not started"
        return self._binary.version_text

    async def start(self) -> None:
        """Start it and wait until it takes work. Raises a ServerError; then nothing is left behind."""
        if self._supervision is not None:
            return
        self._binary = find_binary()
        check_open_files()
        if self.settings.is_open:
            log.warning("the server can be reached from other machines, and asks nobody who they are", host=self.settings.host)
        elif self.settings.in_clear:
            log.warning("other machines send their passwords to the server in clear; give it --tls-cert", host=self.settings.host)
        try:
            await self._open_folder()
            await self._launch_first()
        except BaseException:
            await self.stop()
            raise
        self._supervise()

    async def stop(self) -> None:
        """Stop it and let go of its folder. Does nothing if it is stopped."""
        await self._halt()
        if self._guard is not None:
            self._guard.watch(None)
            await self._guard.dismiss()
            self._guard = None
        if self._folder is not None:
            self._folder.release()
        self._ended.set()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again at the same port. Raises a ServerError; then it is down, and can be started again."""
        await self._halt()
        await self._launch()
        self._supervise()

    async def wait_up(self) -> None:
        """Wait until it takes work: at once if it does, after a new start if it died. Raises ServerFailed if it was given up."""
        await self._settled.wait()
        if self._given_up is not None:
            raise self._given_up

    async def wait(self) -> None:
        """Wait for the end: returns when it was stopped, raises ServerFailed when it was given up."""
        await self._ended.wait()
        if self._given_up is not None:
            raise self._given_up

    def kill(self) -> None:
        """Kill it without last words, as a crash would. The supervision notices and answers."""
        assert self._process is not None, "the server was not started"
        self._settled.clear()
        self._process.signal(signal.SIGKILL)

    async def _open_folder(self) -> None:
        data = self.settings.data
        self._folder = Folder(data) if data is not None else Folder.temporary()
        self._guard = await Guard.start(temporary=self._folder.path if data is None else None)
        await self._folder.prepare()

    async def _launch_first(self) -> None:
        """A free port can be taken between being found and being used; then another one is tried."""
        for _ in range(_FREE_PORT_TRIES):
            self._port = self.settings.port or free_port(self.settings.host)
            try:
                return await self._launch()
            except PortInUse:
                if self.settings.port:
                    raise
        return await self._launch()

    async def _launch(self) -> None:
        """Start a process and wait until it takes work. Raises a ServerError; then the process is gone."""
        assert self._binary is not None and self._folder is not None and self._guard is not None
        settings = replace(self.settings, port=self._port)
        self.store_bytes = self._folder.room_bytes(settings.store_bytes)
        text = config_text(settings, self._folder.path, self.store_bytes, self._binary.version)
        self._folder.write_config(text + users_text(settings.users))
        self._process = await ServerProcess.spawn(self._binary, self._folder)
        self._guard.watch(self._process.pid)
        try:
            self.monitor_url = await self._process.ready(settings.start_timeout_s, alone=settings.cluster is None)
            await check_limits(self.monitor_url, settings, self.store_bytes)
        except BaseException:
            await self._process.stop(settings.stop_timeout_s)
            raise
        log.debug("the server is ready", pid=self.pid, port=self._port, store_bytes=self.store_bytes)

    def _supervise(self) -> None:
        self._given_up = None
        self._ended.clear()
        self._settled.set()
        self._supervision = asyncio.create_task(self._keep_up(), name="nats-server supervision")

    async def _halt(self) -> None:
        """Stop supervising, then stop the process."""
        self._settled.clear()
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.wait((self._supervision,))
            self._supervision = None
        if self._process is not None:
            await self._process.stop(self.settings.stop_timeout_s)

    async def _keep_up(self) -> None:
        """Answer each death with a new start, until there were too many in quick succession. A start that fails is a death too."""
        assert self._process is not None
        deaths, reason = 0, ""
        while True:
            began_s = time.monotonic()
            code = await self._process.wait()
            self._settled.clear()
            deaths = deaths + 1 if time.monotonic() - began_s < QUICK_DEATH_S else 1
            if deaths > self.settings.restarts:
                return self._give_up(deaths, reason)
            self._tell(code)
            await asyncio.sleep(_pause_s(deaths))
            try:
                await self._launch()
            except ServerError as error:
                reason = str(error)
            else:
                reason = ""
                self._settled.set()

    def _tell(self, code: int) -> None:
        log.error("the server died; it is started again", pid=self.pid, exit_code=code)
        if self.on_exit is not None:
            self.on_exit(code)

    def _give_up(self, deaths: int, reason: str) -> None:
        assert self._process is not None
        times = "once" if deaths == 1 else f"{deaths} times in quick succession"
        message = f"the server died {times} and is given up"
        self._given_up = ServerFailed(f"{message}: {reason}") if reason else ServerFailed(message, self._process.last_lines)
        log.error("the server is given up", deaths=deaths)
        self._settled.set()
        self._ended.set()


def _pause_s(deaths: int) -> float:
    return float(min(_PAUSE_MAX_S, _PAUSE_MIN_S * 2 ** (deaths - 1)))


def _reachable(host: str) -> str:
    """An address to connect to, for one to listen on."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return everywhere.get(host, f"[{host}]" if ":" in host else host)

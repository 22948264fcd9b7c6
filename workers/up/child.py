"""A child: one process of the fleet that this one starts, looks after and ends.

Guarantees: it is started again when it ends unasked, after a pause that grows while it keeps ending soon. It ends when we end, in whatever
way, `kill -9` included. What it writes comes out on our standard error, each line with the child's name before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence

import click
import structlog

from ...broker.server.guard import Guard

PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
LIVED_S = 10.0
"""Who lived for so long starts again after the shortest pause."""
KILL_AFTER_S = 15.0
log = structlog.get_logger("jetfleet.up")


class Child:
    """`args` are those of the `jetfleet` command; `name` is what its lines begin with."""

    def __init__(self, name: str, args: Sequence[str], environment: Mapping[str, str], said_width: int = 0) -> None:
        self.name = name
        self.args = tuple(args)
        self.restarts = 0
        self._environment = {**os.environ, **environment}
        self._width = max(said_width, len(name))
        self._process: Process | None = None
        self._guard: Guard | None = None
        self._supervision: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """None between two lives."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        self._guard = await Guard.start()
        await self._launch()
        self._supervision = asyncio.create_task(self._look_after(), name=f"supervision of {self.name}")

    async def stop(self) -> None:
        """Ask it to end, and wait; after KILL_AFTER_S it is killed."""
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
            self._supervision = None
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(KILL_AFTER_S):
                    await process.wait()
            except TimeoutError:
                log.warning("does not end, and is killed", child=self.name, pid=process.pid)
                self.kill()
                await process.wait()
        if self._guard is not None:
            self._guard.watch(None)
            await self._guard.dismiss()
            self._guard = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _launch(self) -> None:
        assert self._guard is not None
        # In a session of its own: the Ctrl-C that tells us to stop must not reach it before we say so, in our order.
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "jetfleet.schemas", *self.args,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True,
        )  # fmt: skip
        self._guard.watch(process.pid)

    async def _look_after(self) -> None:
        pause_s = PAUSE_MIN_S
        while True:
            assert self._process is not None
            began = time.monotonic()
            await self._forward(self._process)
            code = await self._process.wait()
            pause_s = PAUSE_MIN_S if time.monotonic() - began > LIVED_S else min(pause_s * 2, PAUSE_MAX_S)
            log.warning("ended unasked; it is started again", child=self.name, exit_code=code, pause_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)
            await self._launch()
            self.restarts += 1

    async def _forward(self, process: Process) -> None:
        """Its lines to our standard error, until it closes its end."""
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readuntil()
            except asyncio.IncompleteReadError as error:
                line = error.partial
            except asyncio.LimitOverrunError as error:
                line = await process.stdout.readexactly(error.consumed)
            if not line:
                return
            click.echo(f"{self.name:<{self._width}} | {line.decode(errors='replace').rstrip()}", err=True)

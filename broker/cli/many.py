"""Many events: one per line of a file, sent to the fleet a bounded number at a time; waited for if asked, with a summary at the end.

A line that is refused (no JSON, `inputs`, a server that says no) is counted and named; it stops nothing.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.errors import JetfleetError
from ..api import Client
from .lines import Bar, count_lines, events
from .printing import as_json, note
from .tally import Tally


class Many:
    """One file's events. `wait`: print results in the order of their ends, else the runs' ids in the order in which they are on disk."""

    def __init__(self, client: Client, flow: str, trigger: str | None, *, parallel: int, wait: bool, form: str) -> None:
        self.tally = Tally()
        self._client = client
        self._flow = flow
        self._trigger = trigger
        self._room = asyncio.Semaphore(parallel)
        self._wait = wait
        self._form = form
        self._sent = 0

    async def run(self, file: Path) -> int:
        """Returns the exit code."""
        total = count_lines(file)
        if total == 0:
            note(f"no events in {file}")
            return 0
        started = time.perf_counter()
        try:
            with Bar(total) as self._bar:
                async with asyncio.TaskGroup() as group:
                    for number, event in events(file, self._refuse):
                        await self._room.acquire()
                        group.create_task(self._line(number, event))
        except asyncio.CancelledError:
            note(f"interrupted: {self._sent:,} of {total:,} events were sent; what was sent goes on")
            raise
        finally:
            self._summarise(time.perf_counter() - started)
        return 0 if self.tally.clean else FAILED

    async def _line(self, number: int, event: Any) -> None:
        try:
            if self._wait:
                await self._run_one(number, event)
            else:
                await self._send_one(number, event)
            self._bar.advance()
        except JetfleetError as error:
            self._refuse(number, error.code.lower(), str(error), f"{error.code} {error}")
        finally:
            self._room.release()

    async def _send_one(self, number: int, event: Any) -> None:
        run = await self._client.send(self._flow, event, trigger=self._trigger)
        self._sent += 1
        click.echo(as_json({"run_id": run, "line": number}) if self._form == "json" else run)

    async def _run_one(self, number: int, event: Any) -> None:
        started = time.perf_counter()
        handle = await self._client.start(self._flow, event, trigger=self._trigger)
        self._sent += 1
        result = await handle.result(fetch=False)
        self.tally.add(number, result.status, result.error, time.perf_counter() - started)
        if self._form == "json":
            click.echo(as_json({**result.as_value(), "line": number}))

    def _refuse(self, number: int, type: str, message: str, why: str) -> None:
        self.tally.refused += 1
        if self._form == "json":
            click.echo(as_json({"line": number, "status": "refused", "error": {"type": type, "message": message}}))
        self._bar.refused(number, why)

    def _summarise(self, took_s: float) -> None:
        if self._wait:
            self.tally.show(took_s)
        else:
            note(f"{self._sent:,} sent in {took_s:.2f} s" + (f", {self.tally.refused:,} refused" if self.tally.refused else ""))

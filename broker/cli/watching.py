"""Watching a run: what it does and what it waits for, told on standard error until it ends.

On a terminal one line that changes, elsewhere a line whenever it waits for something new.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from typing import Any

from rich.console import Console

from ...schemas.errors import JetfleetError
from ...schemas.messages import RunView
from ..api import Client, Result, RunHandle
from ..engine import Blocked
from ..study.words import in_words
from .outcome import show, show_end
from .printing import note, printable

LOOK_S = 0.25
"""How often the run's owner is asked."""
AT_WORK = frozenset(("task",))


async def watch(client: Client, handle: RunHandle, timeout_s: float | None = None) -> Result:
    """Tell what the run is at until it has ended. Raises NotEnded."""
    waiting = asyncio.ensure_future(handle.result(timeout_s, fetch=False))
    said: list[Any] = []
    console = Console(stderr=True, highlight=False)
    with console.status(f"{handle.id} sent", spinner="dots") if sys.stderr.isatty() else _Silence() as status:
        try:
            while not (await asyncio.wait([waiting], timeout=LOOK_S))[0]:
                view = await client.look(handle.id)
                if view is not None:
                    status.update(printable(progress(view)))
                    said = _tell_waits(view, said)
        finally:
            waiting.cancel()
    return await waiting


async def print_outcome(client: Client, result: Result, form: str) -> None:
    """Print a run that has ended as `jetfleet run --local` does; without its nodes where nobody can tell of them right now."""
    try:
        show(await client.show(result.run_id), form)
    except JetfleetError as error:
        note(f"note: what its nodes did cannot be shown: {error.code} {error}")
        show_end(result, form)


def progress(view: RunView) -> str:
    """One line: how far the run is."""
    statuses = Counter(status for _, status, _, _ in view.nodes)
    done = statuses["completed"] + statuses["skipped"]
    doing = "; ".join(in_words(wait, _now_ms()) for wait in waits(view)[:3])
    return f"{view.run} {view.status}: {done} of {len(view.nodes)} nodes done" + (f", {doing}" if doing else "")


def waits(view: RunView) -> list[Blocked]:
    """What the run waits for."""
    return [Blocked(*wait) for wait in view.blocked]


def _tell_waits(view: RunView, said: list[Any]) -> list[Any]:
    now = waits(view)
    if now and now != said and not any(wait.reason in AT_WORK for wait in now):
        note("waiting: " + "; ".join(in_words(wait, _now_ms()) for wait in now))
        return now
    return said


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Silence:
    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def update(self, text: str) -> None:
        pass

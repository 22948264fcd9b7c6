"""A simulated process: which callbacks of the loop are its own, and what becomes of them when it is killed or stopped.

Everything that code of the process starts (tasks, timers, the deliveries of its connections) is started in a context that names it, and
the loop asks before it runs a callback. So

    kill      nothing of it ever runs again: no handler, no `finally`. Its connections are gone at once, its locks on files are free,
              what it wrote to files stays
    freeze    its callbacks wait, and run in their order when it is thawed; to the others it is silent, but not gone

Does not: stop between two instructions. A process dies between two callbacks, which is between any two of its awaits that really wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol

from .clock import current, elapsed_s


class Line(Protocol):
    """A connection of a process, as far as its death is concerned."""

    def vanish(self) -> None:
        """The process is gone: nothing more leaves it, and the server forgets it."""


class Process:
    """`runs` False: frozen or dead. `held`: the callbacks that wait for it to be thawed."""

    def __init__(self, name: str, pid: int, host: str, skew_ns: int = 0) -> None:
        self.name, self.pid, self.host, self.skew_ns = name, pid, host, skew_ns
        self.started_ticks = int(elapsed_s() * 100) + 1
        self.runs = True
        self.dead = False
        self.held: deque[asyncio.Handle] = deque()
        self.lines: list[Line] = []
        self.files: set[int] = set()

    def __repr__(self) -> str:
        return f"<{self.name} {'dead' if self.dead else 'up' if self.runs else 'frozen'}>"

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as code of this process."""
        context = copy_context()
        context.run(current.set, self)
        return asyncio.get_running_loop().create_task(work, context=context, name=self.name)

    def freeze(self) -> None:
        self.runs = False

    def thaw(self, loop: asyncio.BaseEventLoop) -> None:
        """Let it go on, with what has come meanwhile."""
        if not self.dead:
            self.runs = True
            loop._ready.extend(self.held)  # type: ignore[attr-defined]
            self.held.clear()

    def kill(self) -> None:
        self.runs, self.dead = False, True
        self.held.clear()
        for line in self.lines:
            line.vanish()
        for file in sorted(self.files):
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # a mapped file would keep it: the interpreter lives on

    def end(self) -> None:
        """It has ended in order: nothing of it is left to run."""
        self.kill()


def follow_files() -> None:
    """From now on each process knows which files it has open, so that its locks end with it."""
    really_open, really_close = os.open, os.close

    def opened(*args: Any, **options: Any) -> int:
        file = really_open(*args, **options)
        who = current.get()
        if isinstance(who, Process):
            who.files.add(file)
        return file

    def close(file: int) -> None:
        who = current.get()
        if isinstance(who, Process):
            who.files.discard(file)
        really_close(file)

    _replace(os, "open", opened)
    _replace(os, "close", close)


def _replace(module: Any, name: str, function: Callable[..., Any]) -> None:
    setattr(module, name, function)

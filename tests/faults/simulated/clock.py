"""Time and chance of a simulation, in the place of the machine's.

`install` replaces what this interpreter knows of time (`time.time`, `monotonic`, …), of chance (`secrets`, `os.urandom`, `random`) and of
which process it is (`os.getpid`, the host's name). It must be called before jetfleet is imported, whose modules take some of these by name;
so a simulation has an interpreter of its own, see `simulate.py`.

Guarantees: nothing here moves by itself. Time goes on where the loop says so, and whatever is drawn depends on the seed that `begin` was
called with. Does not: reach what C code asks the operating system for, such as times of change of files; nothing may hang on those.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from random import Random
from typing import Protocol

START_S = 10_000.0
"""What the monotonic clock shows when a simulation begins."""
START_NS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**9
"""What the wall clock shows then."""
real_s: Callable[[], float] = time.perf_counter
"""The machine's own time, for measuring a simulation."""


class Who(Protocol):
    """The process that code runs in, as far as clocks and names are concerned. `skew_ns`: how far its wall clock is off."""

    skew_ns: int
    pid: int
    host: str


@dataclass
class _Now:
    monotonic_s: float = START_S
    chance: Random = field(default_factory=lambda: Random(0))


now = _Now()
current: ContextVar[Who | None] = ContextVar("current", default=None)
"""The simulated process that the running code belongs to; None: the world around them."""


def begin(seed: int) -> None:
    """Put all clocks back to the start, and draw from this seed from now on."""
    now.monotonic_s, now.chance = START_S, Random(f"machine {seed}")
    random.seed(f"modules {seed}")


def elapsed_s() -> float:
    """Since the simulation began."""
    return now.monotonic_s - START_S


def wall_ns() -> int:
    """By a clock that is right, whatever the process."""
    return START_NS + int(elapsed_s() * 1e9)


def install() -> None:
    """Replace time and chance in this interpreter, for good."""
    metadata.version = cache(metadata.version)  # each process asks for it, and it is looked for on the disk
    _replace_time()
    _replace_chance()
    pid, host = os.getpid, socket.gethostname
    os.getpid = lambda: pid() if (who := current.get()) is None else who.pid
    socket.gethostname = lambda: host() if (who := current.get()) is None else who.host


def _replace_time() -> None:
    def time_ns() -> int:
        who = current.get()
        return wall_ns() + (0 if who is None else who.skew_ns)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    time.monotonic = time.perf_counter = lambda: now.monotonic_s
    time.monotonic_ns = time.perf_counter_ns = lambda: int(now.monotonic_s * 1e9)
    time.sleep = _refuse_sleep


def _replace_chance() -> None:
    def token_bytes(nbytes: int | None = None) -> bytes:
        return now.chance.randbytes(32 if nbytes is None else nbytes)

    secrets.token_bytes = os.urandom = token_bytes
    secrets.token_hex = lambda nbytes=None: token_bytes(nbytes).hex()
    secrets.randbelow = lambda end: now.chance.randrange(end)


def _refuse_sleep(seconds: float) -> None:
    raise AssertionError(f"something wanted to hold up all of the simulation for {seconds} s")

"""Which process this is, and whether another one of the same machine still runs.

A pid alone says little: it may mean another process after a reboot, in another container, or after it was given out again. So a process is
known by the machine's boot and pid namespace, its pid, and when it started. On systems without /proc only the pid is compared.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from functools import cache


@cache
def host() -> str:
    """The machine's name, fit for a token of a subject."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()) or "host"


@cache
def boot() -> str:
    """Names the machine's boot and this process's pid namespace; "" where nothing does."""
    with suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            id = file.read().strip()
        return f"{id}/{os.readlink('/proc/self/ns/pid')}"
    return ""


def start_ticks(pid: int) -> int | None:
    """When the process started, in ticks since boot; None if it does not run (a zombie does not), 0 if this system does not tell."""
    if not boot():
        return 0 if _exists(pid) else None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything, parentheses too
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return 0
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_gone(machine: str, pid: int, started: int) -> bool:
    """Whether this was a process of the same machine and runs no more. False for processes elsewhere: nobody can tell."""
    if not machine or machine != boot():
        return False
    now = start_ticks(pid)
    return now is None or (started != 0 and now not in (0, started))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

"""Work in a process of its own, with bounds on memory and time: what does not come to an end there ends there.

A fork of this process, so that nothing has to be imported again. It may use so much memory more than this process has, and so much of a
processor; no bound is tight, since what breaks them breaks any.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

MEMORY_MAX_BYTES = 1 << 30
CPU_MAX_S = 10
REFUSED, READ, WRONG, OUT_OF_MEMORY = "refused", "read", "another error", "out of memory"
_WORDS = (REFUSED, READ, WRONG, OUT_OF_MEMORY)


def outcome(work: Callable[[], bool], cpu_max_s: int = CPU_MAX_S) -> str:
    """What became of it: `refused` (False), `read` (True), another error, out of memory; or the signal that ended it."""
    child = os.fork()
    if not child:
        os._exit(_bounded(work, cpu_max_s))
    _, status = os.waitpid(child, 0)
    return _WORDS[os.WEXITSTATUS(status)] if os.WIFEXITED(status) else signal.Signals(os.WTERMSIG(status)).name


def _bounded(work: Callable[[], bool], cpu_max_s: int) -> int:
    """The place of the outcome among the words."""
    with open("/proc/self/statm") as file:
        has_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has_bytes + MEMORY_MAX_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_max_s, cpu_max_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return 1 if work() else 0
    except MemoryError:
        return 3
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {str(error)[:300]}\n".encode())
        return 2

"""Processes for node code that computes or that may crash.

An attempt travels as its function's name, its config and its payload bytes; the outcome comes back as bytes. The child takes, calls and
gives, with a writer of its own in the arena, so this process never holds the values. A process that exceeds its timeout or is cancelled is
killed. One that dies (segmentation fault, `os._exit`, the kernel's out-of-memory killer) takes nothing with it but its own attempt:
`process_died`.

Children end with their parent, also when it is killed.

In a child the context has no heartbeat and no event loop: no `http`, and `cancelled` never comes, because the process is killed instead.
A main script must guard its start by `if __name__ == "__main__":`, since every child imports it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pebble import ProcessExpired, ProcessPool

from ..schemas.errors import NodeError
from .attempt import perform, timed_out
from .context import Context
from .faults import fail
from .handover import Told
from .identity import Identity
from .outcome import Outcome
from .providers import Services
from .spec import Bound, NodeSpec

EXIT_OUT_OF_MEMORY = 86
"""How a child ends after a MemoryError: nothing that it still holds can be trusted, and its memory is given back."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is told."""

    function: Callable[..., Any]
    config: Any
    ports: tuple[str, ...]
    told: Told
    identity: Identity
    env: Mapping[str, str]


class Processes:
    """A pool of processes, started with the first job. `files` are node files that each child loads first."""

    def __init__(self, size: int, files: Sequence[str] = ()) -> None:
        self.size = size
        self._files = files
        self._pool: ProcessPool | None = None

    async def run(self, job: Job, timeout_ms: int) -> Outcome:
        """The job's outcome. Cancelling kills the process that works on it."""
        try:
            future = self._open().schedule(_run, args=(job,), timeout=timeout_ms / 1_000)
            outcome: Outcome = await asyncio.wrap_future(future)
        except TimeoutError:
            return timed_out(timeout_ms)
        except ProcessExpired as error:
            return fail(NodeError(f"the node's process died: {_cause(error.exitcode)}", type="process_died"))
        except Exception as error:  # the function or config could not be sent, or the pool itself is broken
            return fail(error)
        return outcome

    def close(self) -> None:
        """Kill all processes and wait for their end."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None

    def _open(self) -> ProcessPool:
        if self._pool is None:
            # Never fork: this process has threads, and a lock that one of them holds would stay locked in the child.
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(method)
            context.set_forkserver_preload([__name__])
            self._pool = ProcessPool(self.size, initializer=_prepare, initargs=(tuple(self._files),), context=context)
        return self._pool


def _cause(exit_code: int) -> str:
    if exit_code == EXIT_OUT_OF_MEMORY:
        return "out of memory"
    if exit_code < 0:
        try:
            return f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"killed by signal {-exit_code}"
    return f"exit code {exit_code}"


# --- in the child


def _prepare(files: tuple[str, ...]) -> None:
    from .registry import load_file  # here, because the registry is not needed where there are no files

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when its children end
    threading.Thread(target=_end_with_parent, name="jetfleet-parent", daemon=True).start()
    for file in files:
        load_file(file)


def _end_with_parent() -> None:
    """A parent that is killed cannot end its children, and what they compute nobody would take in."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _run(job: Job) -> Outcome:
    from .signature import read_signature

    try:
        signature = read_signature(job.function)
        handover = job.told.handover()
        context = None if signature.context is None else Context(job.identity, Services(), job.config, job.env, handover=handover)
        call = signature.bind(job.function, job.config)
        spec = NodeSpec(name=job.identity.node, mode="process", prepare=lambda config: call, ports=job.ports, raw=signature.raw)
        outcome = perform(Bound(spec, job.config, call), handover, context, wait=True)
    except Exception as error:
        return fail(error)
    if outcome.error is not None and outcome.error.type == "out_of_memory":
        os._exit(EXIT_OUT_OF_MEMORY)
    return outcome

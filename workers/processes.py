"""Processes for node code that computes or that may crash.

An attempt travels as its function's name, its config and its payload bytes; the outcome comes back as bytes. The child takes, calls and
gives, with a writer of its own in the arena, so this process never holds the values. A process that exceeds its timeout or is cancelled is
killed. One that dies (segmentation fault, `os._exit`, the kernel's out-of-memory killer) takes nothing with it but its own attempt:
`process_died`.

Children end with their parent, also when it is killed.

In a child the context has no heartbeat, and `cancelled` never comes, because the process is killed instead. A function of mode `async`
has an event loop of its own there, any other has none: no `http`.
A main script must guard its start by `if __name__ == "__main__":`, since every child imports it.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool

from ..schemas.errors import NodeError
from .attempt import perform, perform_async, timed_out
from .context import Context
from .deadline import Deadline
from .faults import fail
from .handover import Handover, Told
from .hidden import hidden
from .identity import Identity
from .outcome import Outcome
from .providers import Services
from .spec import Bound, NodeSpec
from .threads import Threads

EXIT_OUT_OF_MEMORY = 86
"""How a child ends after a MemoryError: nothing that it still holds can be trusted, and its memory is given back."""


PROCESS_DIED = "process_died"
NO_PROCESS = "no_process"
PRELOADED = ("registry", "signature")
"""What every child imports anyway."""
TRIES = 2
"""An attempt whose pool broke under it, mostly before anybody had begun with it, is given to the next pool."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is told. `function`: None for a node that comes with jetfleet."""

    type: str
    function: Callable[..., Any] | None
    config: Any
    ports: tuple[str, ...]
    told: Told
    identity: Identity
    env: Mapping[str, str]
    timeout_ms: int


def can_travel(job: Job) -> bool:
    """Whether another process can be told of it: it finds a function by its name."""
    try:
        pickle.dumps(job)
    except Exception:
        return False
    return True


class Processes:
    """A pool of processes, started with the first job. `files` are node files that each child loads first."""

    def __init__(self, size: int, files: Sequence[str] = ()) -> None:
        self.size = size
        self._files = files
        self._pool: ProcessPool | None = None
        self._starting = threading.Lock()

    async def run(self, job: Job, timeout_ms: int) -> Outcome:
        """The job's outcome. Cancelling kills the process that works on it."""
        for _ in range(TRIES):
            pool = self._pool
            if pool is None or not pool.active:
                pool = await asyncio.to_thread(self._start)  # it takes seconds on a busy machine, and this loop has others to serve
            try:
                outcome: Outcome = await asyncio.wrap_future(pool.schedule(_run, args=(job,), timeout=timeout_ms / 1_000))
            except TimeoutError:
                return timed_out(timeout_ms)
            except ProcessExpired as error:
                return fail(NodeError(f"the node's process died: {_cause(error.exitcode)}", type=PROCESS_DIED))
            except Exception as error:
                if pool.active or self._pool is None:  # the function or config could not be sent, or this was closed
                    return fail(error)
            else:
                return outcome
        return fail(NodeError("this worker's processes for nodes do not come up: its log says why", type=NO_PROCESS))

    def close(self) -> None:
        """Kill all processes and wait for their end."""
        with self._starting:
            pool, self._pool = self._pool, None
        if pool is not None:
            _end(pool)

    def _start(self) -> ProcessPool:
        """A pool at work. One that lost a process while none of them had anything to do has given up for good: another takes its place."""
        with self._starting:
            pool = self._pool
            if pool is not None and not pool.active:
                _end(pool)
                pool = None
            if pool is None:
                pool = self._new()
                if pool.active:  # asking starts it
                    self._pool = pool
            return pool

    def _new(self) -> ProcessPool:
        return ProcessPool(self.size, initializer=_prepare, initargs=(tuple(self._files),), context=_start_method())


def start_fork_server() -> None:
    """Have the process begin from which all others are forked. It imports what they need: a second of processor time, which is better spent
    before there is work than in the middle of it."""
    if _start_method().get_start_method() == "forkserver":
        forkserver.ensure_running()


def _start_method() -> Any:
    # Never fork: this process has threads, and a lock that one of them holds would stay locked in the child.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__, *(f"{__package__}.{module}" for module in PRELOADED)])
    return context


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


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
    services = Services()
    hide = services.secrets.redact
    with hidden(hide):
        try:
            spec = _spec(job)
            bound = Bound(spec, job.config, spec.prepare(job.config))
            outcome = asyncio.run(_perform_async(job, bound, services)) if spec.mode == "async" else _perform(job, bound, services)
        except Exception as error:
            outcome = fail(error)
    if (failed := outcome.error) is not None:  # a secret that was set since the worker began is known here alone
        outcome.error = msgspec.structs.replace(failed, message=hide(failed.message), details=hide(failed.details))
    if outcome.error is not None and outcome.error.type == "out_of_memory":
        os._exit(EXIT_OUT_OF_MEMORY)
    return outcome


def _spec(job: Job) -> NodeSpec:
    from .signature import read_signature

    if job.function is None:
        from .nodes import standard_nodes

        return next(spec for spec in standard_nodes() if spec.name == job.type)
    function, signature = job.function, read_signature(job.function)
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return NodeSpec(
        name=job.type,
        mode="async" if is_async else "process",
        prepare=lambda config: signature.bind(function, config),
        wants_context=signature.context is not None,
        ports=job.ports,
        raw=signature.raw,
    )


def _perform(job: Job, bound: Bound, services: Services) -> Outcome:
    handover = job.told.handover()
    return perform(bound, handover, _context(job, bound, services, handover), wait=True)


async def _perform_async(job: Job, bound: Bound, services: Services) -> Outcome:
    threads, handover = Threads(), job.told.handover()
    try:
        deadline = Deadline(services.clock, job.timeout_ms)
        return await perform_async(bound, handover, _context(job, bound, services, handover), deadline, threads)
    finally:
        threads.close()
        await services.close()


def _context(job: Job, bound: Bound, services: Services, handover: Handover) -> Context | None:
    return Context(job.identity, services, job.config, job.env, handover=handover) if bound.spec.wants_context else None

"""The source of filesystem triggers: changes of files as firings.

Guarantees: every version of a file that settles, as far as it is there when somebody looks, fires once: it is remembered durably when its
events are on disk, and what came while nobody watched is found at the start. Everything that may block is done in a thread of its own.
Does not: see versions that were replaced before anybody looked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from ...broker.triggers.firing import Fate, Firing
from ...broker.triggers.source import Site, Source, Spec
from ...schemas.errors import JetfleetError
from ...schemas.flow.triggers.filesystem import FilesystemParams
from .afterwards import Afterwards
from .contents import Contents
from .folder import Folder
from .happening import Happening
from .intake import Intake
from .lineage import inherit
from .memory import Memory
from .names import Names
from .policy import PathPolicy
from .walk import Rules
from .watcher import Watcher

CONTENT_IN_FLIGHT_BYTES = 256 << 20
OPEN_IN_FLIGHT = 64
"""Contents by reference are open files."""
PAUSE_MAX_S = 60.0
CLOSE_S = 10.0
log = structlog.get_logger("jetfleet.triggers")
Value = TypeVar("Value")


class FilesystemSource(Source):
    """`settling`, `stuck`: see `Intake`."""

    def __init__(self, spec: Spec, site: Site) -> None:
        params: FilesystemParams = spec.params
        self._params = params
        self._triggers = spec.triggers
        self._data = site.data / "filesystem"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="filesystem")
        self._watched: list[str] = []
        self._intake: Intake | None = None
        self._watcher: Watcher | None = None
        self._memory: Memory | None = None
        self._confirmed: list[tuple[Happening, Fate]] = []
        self._remembering: asyncio.Task[None] | None = None
        self._failed: JetfleetError | None = None
        self._woken = asyncio.Event()
        self._going = asyncio.Event()
        self._going.set()
        self._looks_anew = False
        self.in_flight_max = _in_flight_max(params)

    @property
    def listens(self) -> bool:
        """Whether everything has been looked at once, so that from now on only what changes is."""
        return self._intake is not None and self._intake.has_scanned

    async def firings(self) -> AsyncIterator[Firing]:
        await self._call(self._open)
        assert self._intake is not None
        while True:
            await self._going.wait()
            if self._failed is not None:
                raise self._failed
            if self._looks_anew and self._watcher is not None:
                self._looks_anew = False
                self._watcher.scan_soon()
            self._woken.clear()
            step = await self._call(self._intake.step)
            for firing in step.firings:
                yield firing
            if not step.firings and step.pause_s:
                await self._pause(step.pause_s)

    def confirm(self, firing: Firing, fate: Fate) -> None:
        self._confirmed.append((firing.token, fate))
        if self._remembering is None:
            self._remembering = asyncio.get_running_loop().create_task(self._remember())

    def bound(self, triggers: Sequence[tuple[str, str]]) -> None:
        self._triggers = tuple(triggers)
        self._thread.submit(self._serve)

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._looks_anew = True  # what the system told meanwhile nobody took
        self._going.set()
        self._woken.set()

    async def close(self) -> None:
        if self._remembering is not None:
            await asyncio.gather(self._remembering, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):  # a network file system may hold the thread for ever
                await self._call(self._shut)
        self._thread.shutdown(wait=False)

    def status(self) -> str:
        if self._intake is None or self._watcher is None:
            return ""
        said = [f"watches {', '.join(self._watched)}{' and below' if self._params.recursive else ''}"]
        if self._watcher.polls:
            said.append(f"by polling every {self._params.poll_ms} ms, as {self._watcher.polls}")
        if self._intake.settling:
            said.append(f"files that settle: {self._intake.settling}")
        if self._intake.stuck:
            said.append(f"files that are done and cannot be moved or removed: {len(self._intake.stuck)}")
        return "; ".join(said)

    # --- in the thread

    def _open(self) -> None:
        """Open everything that the source works with. Raises SourceFailed, SourceBroken."""
        params, policy = self._params, PathPolicy.of_process()
        self._watched = [policy.canonical(path) for path in params.paths]
        folders = _distinct([Folder.at(path) for path in self._watched], params.recursive)
        afterwards = Afterwards.prepared(folders, params.processed, params.failed, policy)
        memory = self._memory = Memory(self._data / f"{digest_of(params, self._watched)}.db")
        watcher = self._watcher = Watcher(folders, params.watch, params.poll_ms)
        rules = Rules(Names(params.patterns, params.ignore, params.hidden), params.recursive, afterwards.places, watcher.folder)
        inherit(memory, self._triggers, lambda path: any(folder.has(path) and rules.counts(folder, path) for folder in folders))
        self._intake = Intake(params, folders, rules, memory, watcher, afterwards)

    def _serve(self) -> None:
        """Whoever listens later inherits as well, should its params be changed."""
        if self._intake is None or self._memory is None:
            return  # `_open` does that
        try:
            self._memory.serves(self._triggers, time.time_ns())
        except JetfleetError as error:
            self._failed = error

    def _keep(self, confirmed: Sequence[tuple[Happening, Fate]]) -> None:
        """Remember these at once; if one of them is the undoing of all, each by itself. Raises SourceFailed, SourceBroken."""
        assert self._intake is not None
        try:
            self._intake.confirm(confirmed)
        except JetfleetError:
            raise
        except Exception:
            if len(confirmed) > 1:
                for each in confirmed:
                    self._keep([each])
                return
            ((happening, _),) = confirmed
            log.exception("a file that has fired cannot be remembered; it may fire again, under the same key", path=happening.entry.path)

    def _shut(self) -> None:
        for each in (self._memory, self._watcher):
            if each is not None:
                each.close()

    # --- in the loop

    async def _call(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _pause(self, pause_s: float) -> None:
        """Until there may be something to do."""
        loop = asyncio.get_running_loop()
        fd = None if self._watcher is None else self._watcher.fd
        if fd is not None:
            loop.add_reader(fd, self._woken.set)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, PAUSE_MAX_S)):  # `wait_for` may lose a cancellation that comes with the result
                    await self._woken.wait()
        finally:
            if fd is not None:
                loop.remove_reader(fd)

    async def _remember(self) -> None:
        """What was confirmed, as long as something is. If that fails, the source does."""
        try:
            while self._confirmed:
                confirmed, self._confirmed = self._confirmed, []
                await self._call(partial(self._keep, confirmed))
        except JetfleetError as error:
            self._failed = error
        finally:
            self._remembering = None
            self._woken.set()


def digest_of(params: FilesystemParams, watched: Sequence[str]) -> str:
    """What the memory of a source is known by: its params, with the canonical paths. The same words may mean another folder tomorrow."""
    return hashlib.sha256(msgspec.json.encode(params.model_dump(mode="json") | {"paths": list(watched)})).hexdigest()[:32]


def _in_flight_max(params: FilesystemParams) -> int:
    contents = Contents.of(params.content, params.max_content_bytes)
    if params.content == "reference":
        return OPEN_IN_FLIGHT
    if contents.in_memory and contents.max_bytes is not None:
        return max(4, min(Source.in_flight_max, CONTENT_IN_FLIGHT_BYTES // contents.max_bytes))
    return Source.in_flight_max


def _distinct(folders: list[Folder], recursive: bool) -> list[Folder]:
    """Without those that are watched with another one."""
    found: dict[str, Folder] = {f"{folder.path}/{folder.only}": folder for folder in folders}
    whole = [folder for folder in found.values() if not folder.only]
    return [
        folder
        for folder in found.values()
        if not any(
            (recursive and other.has(folder.path)) or (folder.only and (other.path == folder.path))
            for other in whole
            if other is not folder
        )
    ]

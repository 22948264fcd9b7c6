"""The intake: turns what lies in the folders, what is remembered and what the system tells into firings.

    hints, looks ─▶ differs from the memory? ─▶ settles ─▶ ready ─▶ fired ─▶ confirmed ─▶ remembered ─▶ removed or moved
                                                   ▲──────────────── changed meanwhile ────────┘

Guarantees: a version of a file that has settled is fired until it is remembered as confirmed, always under the same key. However many files
there are, it knows of no more at a time than SETTLING_MAX and what was fired and not confirmed.
Does not: wait, or know the event loop. All of it runs in one thread, a step at a time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import structlog

from ...broker.codecs.opened import FileChanged, OpenedFile
from ...broker.triggers.firing import Fate, Firing
from ...schemas.flow.triggers.filesystem import FilesystemParams
from .afterwards import Afterwards
from .contents import Changed, Contents, FileTooLarge, FileUnreadable
from .entry import Entry, Mark
from .folder import Folder, View
from .happening import CREATE, MODIFY, REMOVE, RENAME, Happening, firing_of
from .memory import DELETE, KEEP, MOVE, MOVE_FAILED, Memory
from .settling import Settling, Waiting
from .walk import Rules, walk
from .watcher import Watcher

SETTLING_MAX = 10_000
LOOKS_PER_STEP = 512
FIRINGS_PER_STEP = 256
CONTENT_PER_STEP_BYTES = 32 << 20
OLD_ENOUGH_S = 2.0
"""A file that nobody has changed for so long has settled already: it was there before, or was moved here. Clocks of hosts differ."""
log = structlog.get_logger("jetfleet.triggers")


@dataclass(frozen=True, slots=True)
class Step:
    """`pause_s`: how long there is nothing to do, unless something is told. 0: go on."""

    firings: Sequence[Firing]
    pause_s: float


class Intake:
    """For one source. `folders`: distinct, none in another that is watched with what is in it."""

    def __init__(self, params: FilesystemParams, folders: Sequence[Folder], rules: Rules, memory: Memory, watcher: Watcher, afterwards: Afterwards) -> None:  # fmt: skip
        self._folders, self._rules, self._memory, self._watcher, self._afterwards = folders, rules, memory, watcher, afterwards
        self._events = frozenset(params.events)
        self._settle_s = params.settle_ms / 1_000
        self._max_wait_s = params.max_wait_ms / 1_000 if params.max_wait_ms else float("inf")
        self._contents = Contents.of(params.content, params.max_content_bytes)
        self._success = {"keep": KEEP, "delete": DELETE, "move": MOVE}[params.on_success]
        self._failure = MOVE_FAILED if params.failed is not None else KEEP
        self._ignores_ns = memory.began_ns if params.initial == "ignore" and not memory.has_scanned else -1
        self._settling = Settling(SETTLING_MAX)
        self._ready: deque[tuple[str, Entry | None]] = deque()
        self._fired: dict[str, bool] = {}
        """Paths that are fired and not remembered yet, and whether something has happened to them since."""
        self._scan: Iterator[Entry | None] | None = None
        self._views: dict[str, View] = {}
        self.stuck = 0
        """Files that could not be moved or removed when that was tried last."""

    @property
    def settling(self) -> int:
        return len(self._settling)

    def close(self) -> None:
        self._scan = None
        self._memory.close()
        self._watcher.close()

    def step(self) -> Step:
        """Go on a little. Raises SourceFailed, SourceBroken."""
        with self._opened():
            self._take_hints()
            if not self._ready:
                self._look_on()
            self._look_again()
            firings = self._fire()
        return Step(firings, 0.0 if self._ready else self._pause_s())

    def confirm(self, confirmed: Sequence[tuple[Happening, Fate]]) -> None:
        """Remember these, and do what is to be done with the files. Raises SourceFailed, SourceBroken."""
        remember: list[tuple[Entry, str]] = []
        forget: list[str] = []
        for happening, fate in confirmed:
            if not _is_settled(fate):
                continue
            if happening.change == REMOVE:
                forget.append(happening.entry.path)
            else:
                remember.append((happening.entry, self._failure if fate.refused else self._success))
            if happening.old_path:
                forget.append(happening.old_path)
        self._memory.change(remember, forget)
        with self._opened():
            self._finish([each for each in remember if each[1]])
            for happening, fate in confirmed:
                self._let_go(happening, again=not _is_settled(fate))

    # --- noticing that something is different

    def _take_hints(self) -> None:
        hints = self._watcher.hints()
        for path in hints.folders:
            self._folder_came(path)
        for path in hints.files:
            folder = self._folder_of(path)
            if folder is None or not self._rules.counts(folder, path):
                continue
            if path in self._fired:
                self._fired[path] = True
            elif self._settling.is_full:
                self._watcher.scan_soon()
                return
            elif path not in self._settling:
                self._differs(path, self._views[folder.path].look(path))

    def _folder_came(self, path: str) -> None:
        folder = self._folder_of(path)
        if folder is None or not self._rules.enters(folder, path):
            return
        for entry in walk(folder, self._rules, folder.below(path)):
            if self._settling.is_full:
                self._watcher.scan_soon()
                return
            if entry.path not in self._fired:
                self._differs(entry.path, entry)

    def _differs(self, path: str, entry: Entry | None) -> None:
        """Wait until it has settled. Of a file that is as it was, that is seen then."""
        now = time.monotonic()
        # Of a rename, the new name is looked at before the old one is missed.
        pause_s = self._settle_s if entry is not None else 2 * self._settle_s
        self._settling.put(path, Waiting(entry, now), now + pause_s)

    def _look_on(self) -> None:
        """Go on with the look at everything, as far as there is room."""
        if self._scan is None and time.monotonic() >= self._watcher.next_scan_s:
            self._watcher.scan_begins()
            self._scan = self._everything()
        if self._scan is None or self._settling.is_full:
            return
        seen = list(islice(self._scan, LOOKS_PER_STEP))
        if len(seen) < LOOKS_PER_STEP:
            self._scan = None
            self._watcher.scan_ended()
        entries = [entry for entry in seen if entry is not None and entry.path not in self._fired and entry.path not in self._settling]
        known = self._memory.known([entry.path for entry in entries])
        self._matched += len(known)
        ignored: list[tuple[Entry, str]] = []
        for entry in entries:
            if known.get(entry.path) == entry.mark:
                continue
            if entry.ctime_ns <= self._ignores_ns:
                ignored.append((entry, KEEP))
            elif self._is_old(entry):
                self._ready.append((entry.path, entry))
            else:
                self._differs(entry.path, entry)
        if ignored:
            self._memory.change(ignored)
        if self._scan is None:
            self._memory.scanned()
            self._ignores_ns = -1

    def _everything(self) -> Iterator[Entry | None]:
        """All files that are there. Then, if some are remembered that are not, those; None stands for one that was looked at."""
        self._finish_rest()
        self._matched = 0
        for folder in self._folders:
            yield from walk(folder, self._rules)
        yield from [None] * 0
        last = ""
        if self._memory.count() == self._matched:
            return
        while remembered := self._memory.after(last, LOOKS_PER_STEP):
            last = remembered[-1].path
            for entry in remembered:
                self._miss(entry.path)
                yield None

    def _miss(self, path: str) -> None:
        folder = self._folder_of(path)
        if folder is not None and path not in self._fired and self._views[folder.path].look(path) is None:
            self._differs(path, None)

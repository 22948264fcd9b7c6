"""The intake: turns what lies in the folders, what is remembered and what the system tells into firings.

    hints, looks ─▶ differs from the memory? ─▶ settles ─▶ ready ─▶ fired ─▶ confirmed ─▶ remembered ─▶ removed or moved
                                                   ▲──────────────── changed meanwhile ────────┘

Guarantees: a version of a file that has settled is fired until it is remembered as confirmed, always under the same key. However many files
there are, it knows of no more at a time than SETTLING_MAX and what was fired and not confirmed.
Does not: wait, or know the event loop. All of it runs in one thread, a step at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from ...broker.triggers.firing import Fate, Firing
from ...schemas.errors import JetfleetError
from ...schemas.flow.triggers.filesystem import FilesystemParams
from .afterwards import Afterwards
from .contents import Changed, Contents
from .entry import Entry, Mark
from .folder import Folder, View
from .happening import CREATE, MODIFY, REMOVE, RENAME, Happening, firing_of
from .memory import DELETE, KEEP, MOVE, MOVE_FAILED, Memory
from .scan import Scan
from .settling import Settling, Waiting
from .walk import Rules, walk
from .watcher import Watcher

SETTLING_MAX = 10_000
LOOKS_PER_STEP = 512
FIRINGS_PER_STEP = 256
CONTENT_PER_STEP_BYTES = 32 << 20
OLD_ENOUGH_S = 2.0
"""A file that nobody has changed for so long has settled already: it was there before, or was moved here. Clocks of hosts differ."""
AGAIN_S = 1.0
"""After which a file that cannot be looked at is looked at again."""
log = structlog.get_logger("jetfleet.triggers")


@dataclass(frozen=True, slots=True)
class Step:
    """`pause_s`: how long there is nothing to do, unless something is told. 0: go on."""

    firings: Sequence[Firing]
    pause_s: float


class Intake:
    """For one source. `folders`: distinct, none in another that is watched with what is in it."""

    def __init__(
        self, params: FilesystemParams, folders: Sequence[Folder], rules: Rules, memory: Memory, watcher: Watcher, afterwards: Afterwards
    ) -> None:
        self._folders, self._rules, self._memory, self._watcher, self._afterwards = folders, rules, memory, watcher, afterwards
        self._events = frozenset(params.events)
        self._settle_s = params.settle_ms / 1_000
        self._max_wait_s = params.max_wait_ms / 1_000 if params.max_wait_ms else float("inf")
        self._contents = Contents.of(params.content, params.max_content_bytes)
        self._success = {"keep": KEEP, "delete": DELETE, "move": MOVE}[params.on_success]
        self._failure = MOVE_FAILED if params.failed is not None else KEEP
        self._ignored_ns = memory.began_ns if params.initial == "ignore" and not memory.has_scanned else -1
        self._settling = Settling(SETTLING_MAX)
        self._ready: deque[tuple[str, Entry | None]] = deque()
        self._fired: dict[str, bool] = {}
        """Paths that are fired and not remembered yet, and whether something has happened to them since."""
        self._scan: Scan | None = None
        self._views: dict[str, View] = {}
        self.has_scanned = False
        """Whether everything has been looked at once."""
        self.stuck: set[str] = set()
        """Files that could not be moved or removed when that was tried last."""

    @property
    def settling(self) -> int:
        """Files that wait until they do not change any more."""
        return len(self._settling)

    def step(self) -> Step:
        """Go on a little. Raises SourceFailed, SourceBroken."""
        with self._opened():
            self._take_hints()
            if not self._ready:
                self._look_on()
            self._look_again()
            firings = self._fire()
        return Step(firings, self._pause_s())

    def confirm(self, confirmed: Sequence[tuple[Happening, Fate]]) -> None:
        """Remember these, and do what is to be done with the files. Raises SourceFailed, SourceBroken."""
        remember: list[tuple[Entry, str]] = []
        forget: list[str] = []
        for happening, fate in confirmed:
            if not (fate.runs or fate.refused):  # nobody listens any more
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
            for path in (path for happening, _ in confirmed for path in happening.paths):
                if self._fired.pop(path, False):
                    self._differs(path)

    # --- noticing that something is different

    def _take_hints(self) -> None:
        hints = self._watcher.hints()
        for path in hints.folders:
            self._folder_came(path)
        for path in hints.files:
            folder = self._folder_of(path)
            if folder is not None and self._rules.counts(folder, path):
                self._differs(path)

    def _folder_came(self, path: str) -> None:
        folder = self._folder_of(path)
        if folder is not None and self._rules.enters(folder, path):
            for entry in walk(folder, self._rules, folder.below(path)):
                self._wait_for(entry.path, entry)

    def _look_on(self) -> None:
        """Go on with the look at everything, as far as there is room."""
        if self._scan is None:
            if time.monotonic() < self._watcher.next_scan_s:
                return
            self._watcher.scan_begins()
            self._finish_rest()
            self._scan = Scan(self._folders, self._rules, self._memory)
        if self._settling.is_full:
            return
        self._compare(self._scan.files(LOOKS_PER_STEP))
        for entry in self._scan.remembered(LOOKS_PER_STEP):
            self._miss(entry.path)
        if self._scan.is_over:
            self._scan = None
            self._watcher.scan_ended()
            self._ignored_ns, self.has_scanned = -1, True
            if not self._memory.has_scanned:
                self._memory.scanned()

    def _compare(self, seen: Iterator[tuple[Entry, Mark | None]]) -> None:
        now_ns, ignored = time.time_ns(), []
        for entry, known in seen:
            if known == entry.mark or entry.path in self._fired or entry.path in self._settling:
                continue
            if known is None and entry.ctime_ns <= self._ignored_ns:
                ignored.append((entry, KEEP))
            elif now_ns - max(entry.mark.mtime_ns, entry.ctime_ns) > max(self._settle_s, OLD_ENOUGH_S) * 1e9:
                self._ready.append((entry.path, entry))
            else:
                self._wait_for(entry.path, entry)
        if ignored:
            self._memory.change(ignored)

    def _miss(self, path: str) -> None:
        with contextlib.suppress(OSError):
            if path not in self._fired and self._view_of(path).look(path) is None:
                self._wait_for(path, None)

    def _differs(self, path: str) -> None:
        """Perhaps: somebody says so. Of a file that is as it was, that is seen when it has settled."""
        if path not in self._settling:
            with contextlib.suppress(OSError):
                self._wait_for(path, self._view_of(path).look(path))

    def _wait_for(self, path: str, entry: Entry | None) -> None:
        if path in self._fired:
            self._fired[path] = True
        elif self._settling.is_full:
            self._watcher.scan_soon()  # it is found then
        else:
            now = time.monotonic()
            # Of a rename, the new name is looked at before the old one is missed.
            self._settling.put(path, Waiting(entry, now), now + (self._settle_s if entry is not None else 2 * self._settle_s))

    # --- settling

    def _look_again(self) -> None:
        now = time.monotonic()
        for path, waiting in self._settling.due(now, FIRINGS_PER_STEP):
            try:
                entry = self._view_of(path).look(path)
            except OSError as error:
                log.warning("a file cannot be looked at", path=path, reason=str(error))
                self._settling.put(path, waiting, now + max(self._settle_s, AGAIN_S))
                continue
            if _same(entry, waiting.entry) or (entry is not None and now - waiting.since_s >= self._max_wait_s):
                self._ready.append((path, entry))
            else:
                self._settling.put(path, Waiting(entry, waiting.since_s), now + self._settle_s)

    # --- firing

    def _fire(self) -> list[Firing]:
        firings: list[Firing] = []
        remember: list[tuple[Entry, str]] = []
        forget: list[str] = []
        batch = [self._ready.popleft() for _ in range(min(len(self._ready), FIRINGS_PER_STEP))]
        known = self._memory.known([path for path, _ in batch])
        old_paths = self._old_paths([entry for path, entry in batch if entry is not None and path not in known])
        room_bytes = CONTENT_PER_STEP_BYTES
        for place, (path, entry) in enumerate(batch):
            if room_bytes <= 0:
                self._ready.extendleft(reversed(batch[place:]))
                break
            happening = self._happening(path, entry, known.get(path), old_paths)
            if happening is None:
                continue
            if happening.change in self._events:
                firings += self._fired_of(happening)
                room_bytes -= happening.entry.mark.size if self._contents.in_memory else 0
            elif happening.change == REMOVE:
                forget.append(path)
            else:
                remember.append((happening.entry, KEEP))
        if remember or forget:
            self._memory.change(remember, forget)
        return firings

    def _happening(self, path: str, entry: Entry | None, known: Mark | None, old_paths: Mapping[str, str]) -> Happening | None:
        """What has happened; None: nothing that is not told already."""
        if path in self._fired:
            self._fired[path] = True
            return None
        if entry is None:
            return None if known is None else Happening(REMOVE, Entry(path, known))
        if known is not None:
            return None if known == entry.mark else Happening(MODIFY, entry)
        old_path = old_paths.get(path, "")
        if old_path in self._fired:  # another link to it was faster
            old_path = ""
        return Happening(RENAME if old_path else CREATE, entry, old_path)

    def _old_paths(self, entries: Sequence[Entry]) -> dict[str, str]:
        """The paths that new files had before, where they are not really new. One that is still there has got another link."""
        if RENAME not in self._events:
            return {}
        found = self._memory.of_marks([entry.mark for entry in entries])
        gone = ((entry, path) for entry in entries for path in found.get(entry.mark, ()) if self._is_gone(path, entry.mark))
        return {entry.path: path for entry, path in gone}

    def _is_gone(self, path: str, mark: Mark) -> bool:
        with contextlib.suppress(OSError):
            now = self._view_of(path).look(path)
            return now is None or now.mark != mark
        return False

    def _fired_of(self, happening: Happening) -> list[Firing]:
        """Its firing; none if the file is another one by now."""
        content: object = None
        if happening.change != REMOVE and self._contents.kind != "none":
            try:
                content = self._contents.read(self._view_of(happening.entry.path), happening.entry)
            except Changed:
                self._differs(happening.entry.path)
                return []
            except JetfleetError as error:
                content = error
        for path in happening.paths:
            self._fired[path] = False
        return [firing_of(happening, content)]

    # --- afterwards

    def _finish(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Move or remove files. What cannot be done now is tried again with each look at everything."""
        gone: list[str] = []
        other: list[tuple[Entry, str]] = []
        for entry, todo in entries:
            try:
                is_gone = self._afterwards.finish(self._view_of(entry.path), entry, todo)
                self.stuck.discard(entry.path)
                if is_gone:
                    gone.append(entry.path)
                else:
                    other.append((entry, KEEP))
            except OSError as error:
                self.stuck.add(entry.path)
                log.warning("a file that is done cannot be moved or removed", path=entry.path, reason=str(error))
        if gone or other:
            self._memory.change(other, gone)
        for entry, _ in other:
            self._differs(entry.path)

    def _finish_rest(self) -> None:
        last = ""
        self.stuck.clear()
        while entries := self._memory.to_do(last, LOOKS_PER_STEP):
            last = entries[-1][0].path
            self._finish([(entry, todo) for entry, todo in entries if entry.path not in self._fired])

    # --- the folders

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        with ExitStack() as stack:
            self._views = {folder.path: stack.enter_context(folder.view()) for folder in self._folders}
            yield

    def _folder_of(self, path: str) -> Folder | None:
        return next((folder for folder in self._folders if folder.has(path)), None)

    def _view_of(self, path: str) -> View:
        folder = self._folder_of(path)
        assert folder is not None  # a memory is of the same folders for ever
        return self._views[folder.path]

    def _pause_s(self) -> float:
        if self._ready or (self._scan is not None and not self._settling.is_full):
            return 0.0
        moments = [] if self._settling.next_s is None else [self._settling.next_s]
        moments += [self._watcher.next_scan_s] if self._scan is None else []
        return max(0.0, min(moments, default=float("inf")) - time.monotonic())


def _same(one: Entry | None, other: Entry | None) -> bool:
    return one is other or (one is not None and other is not None and one.mark == other.mark)

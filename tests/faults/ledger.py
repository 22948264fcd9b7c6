"""The ledger: what the world outside of the system did, and what it was told. Checkers hold the log against it.

A test and the nodes in its workers write one line per fact, `word field … at_ns`, to a file that no part of the system knows:

    acked KEY RUN             a publisher was told that its event is on disk, and becomes this run
    refused KEY REASON        … that it was not taken
    unknown KEY               nobody answered
    resolved KEY HOW          what became of an unknown one: `stored`, `absent` or `repeated` (published again with the same key)
    effect RUN ACTIVATION ATTEMPT WORKER KEY    node code began an execution; the key is `context.idempotency_key`
    terminal RUN STATUS       somebody was told that the run ended so
    cancelled RUN             somebody was told that a cancellation of the run is on disk
    expected RUN STATUS       the scenario knows that the run must end so, whatever happens to others
    fault KIND DETAIL         a fault was injected; `healed KIND`: it was over
    progress WHAT             something went on: what recovery times are measured by

Guarantees: a line is one write of a file opened with O_APPEND, so the lines of many processes do not mix; with `fsync` it is on disk when the
method returns. Does not: order facts of different processes more exactly than their clock does. A torn last line (the machine of the test
died) is counted, not guessed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

RESOLUTIONS = ("stored", "absent", "repeated")


class Acked(NamedTuple):
    key: str
    run: str
    at_ns: int


class Refused(NamedTuple):
    key: str
    reason: str
    at_ns: int


class Unanswered(NamedTuple):
    key: str
    at_ns: int


class Resolved(NamedTuple):
    key: str
    how: str
    at_ns: int


class Effect(NamedTuple):
    """An execution that began in node code. `activation` as a text: `2`, or `2.0.1` in iterations."""

    run: str
    activation: str
    attempt: int
    worker: str
    key: str
    at_ns: int


class Told(NamedTuple):
    """How somebody was told that a run ended; of `expected`: how it has to."""

    run: str
    status: str
    at_ns: int


class Cancelled(NamedTuple):
    run: str
    at_ns: int


class Fault(NamedTuple):
    kind: str
    detail: str
    at_ns: int


class Healed(NamedTuple):
    kind: str
    at_ns: int


class Progress(NamedTuple):
    what: str
    at_ns: int


@dataclass(frozen=True)
class Account:
    """The ledger as it was read back: each kind of fact in the order of the file. `torn`: lines that are no whole fact."""

    acked: list[Acked] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unknown: list[Unanswered] = field(default_factory=list)
    resolved: list[Resolved] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    terminal: list[Told] = field(default_factory=list)
    cancelled: list[Cancelled] = field(default_factory=list)
    expected: list[Told] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    healed: list[Healed] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    torn: int = 0

    @property
    def runs(self) -> list[str]:
        """The runs that were acknowledged, each once, in the order of their first acknowledgement."""
        return list(dict.fromkeys(fact.run for fact in self.acked))

    def recovery_s(self) -> list[float]:
        """For each fault that was over: how long until the next progress; none for what nothing followed."""
        found = []
        for over in self.healed:
            after = [fact.at_ns for fact in self.progress if fact.at_ns > over.at_ns]
            if after:
                found.append((min(after) - over.at_ns) / 1e9)
        return found


class Ledger:
    """`path` None: in memory, for one process. `now_ns`: the clock of the world that the facts belong to."""

    def __init__(self, path: Path | None = None, *, fsync: bool = True, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self._fsync, self._now_ns = fsync, now_ns
        self._lines: list[str] = []
        self._file = -1 if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def acked(self, key: str, run: str) -> None:
        self._write("acked", key, run)

    def refused(self, key: str, reason: str) -> None:
        self._write("refused", key, reason)

    def unknown(self, key: str) -> None:
        self._write("unknown", key)

    def resolved(self, key: str, how: str) -> None:
        assert how in RESOLUTIONS, f"{how!r} is none of {', '.join(RESOLUTIONS)}"
        self._write("resolved", key, how)

    def effect(self, run: str, activation: str, attempt: int, worker: str, key: str) -> None:
        self._write("effect", run, activation, str(attempt), worker, key)

    def terminal(self, run: str, status: str) -> None:
        self._write("terminal", run, status)

    def cancelled(self, run: str) -> None:
        self._write("cancelled", run)

    def expected(self, run: str, status: str) -> None:
        self._write("expected", run, status)

    def fault(self, kind: str, detail: str = "") -> None:
        self._write("fault", kind, detail)

    def healed(self, kind: str) -> None:
        self._write("healed", kind)

    def progress(self, what: str) -> None:
        self._write("progress", what)

    def account(self) -> Account:
        """Everything that was written so far, by anybody."""
        return _read(self._lines if self.path is None else self.path.read_text().split("\n"))

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _write(self, word: str, *fields: str) -> None:
        line = " ".join((word, *(quote(text, safe=_PLAIN) or "%" for text in fields), str(self._now_ns())))
        if self.path is None:
            self._lines.append(line)
            return
        os.write(self._file, f"{line}\n".encode())
        if self._fsync:
            os.fsync(self._file)


@cache
def ledger_at(path: str, fsync: bool = True) -> Ledger:
    """The ledger of a file, opened once by this process: for node code, which is called for every execution."""
    return Ledger(Path(path), fsync=fsync)


_PLAIN = "/:.,#=+@[]()'\"!?*;"
_KINDS: dict[str, tuple[str, Callable[..., object]]] = {
    "acked": ("acked", Acked), "refused": ("refused", Refused), "unknown": ("unknown", Unanswered), "resolved": ("resolved", Resolved),
    "effect": ("effects", lambda run, activation, attempt, *rest: Effect(run, activation, int(attempt), *rest)),
    "terminal": ("terminal", Told), "cancelled": ("cancelled", Cancelled), "expected": ("expected", Told),
    "fault": ("faults", Fault), "healed": ("healed", Healed), "progress": ("progress", Progress),
}  # fmt: skip


def _read(lines: list[str]) -> Account:
    found: dict[str, list[object]] = {name: [] for name, _ in _KINDS.values()}
    torn = 0
    for line in filter(None, lines):
        word, *fields = line.split(" ")
        try:
            *texts, at_ns = fields
            name, make = _KINDS[word]
            found[name].append(make(*("" if text == "%" else unquote(text) for text in texts), int(at_ns)))
        except (KeyError, ValueError, TypeError):
            torn += 1
    return Account(**found, torn=torn)  # type: ignore[arg-type]

"""The machines of a simulation: hosts with folders, and processes with pids that the others of the same host can see.

Replaces what jetfleet asks its operating system about processes (`broker/fleet/process.py`), so that the death of a process is noticed at
once on its own host and nowhere else.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from jetfleet.broker.fleet import process as of_jetfleet

from .clock import current, elapsed_s
from .process import Process

NOBODY = "world"


class Machines:
    """`log`: what processes said when they ended, with the time."""

    def __init__(self, folder: Path) -> None:
        self.log: list[str] = []
        self.skew_ns: dict[str, int] = {}
        """By host: how far its wall clock is off."""
        self.most_ahead_ns = 0
        """The furthest that any clock ever was ahead."""
        self._folder = folder
        self._pids = count(101)
        self._processes: dict[int, Process] = {}
        of_jetfleet.host = self._host  # type: ignore[assignment]
        of_jetfleet.boot = self._boot  # type: ignore[assignment]
        of_jetfleet.start_ticks = self._start_ticks

    def process(self, name: str, host: str) -> Process:
        made = Process(name, next(self._pids), host, self.skew_ns.get(host, 0))
        self._processes[made.pid] = made
        return made

    def folder(self, name: str) -> Path:
        """On a disk that outlives processes."""
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def set_clock(self, host: str, skew_ns: int) -> None:
        """Let the wall clock of a host jump."""
        self.skew_ns[host] = skew_ns
        self.most_ahead_ns = max(self.most_ahead_ns, skew_ns)
        for process in self._processes.values():
            if process.host == host:
                process.skew_ns = skew_ns

    def note(self, what: str) -> None:
        self.log.append(f"{elapsed_s():9.3f}  {what}")

    # --- what the operating system says

    def _host(self) -> str:
        who = current.get()
        return NOBODY if who is None else who.host

    def _boot(self) -> str:
        return f"boot-{self._host()}"

    def _start_ticks(self, pid: int) -> int | None:
        """Of a process of the asking one's own host."""
        found = self._processes.get(pid)
        return None if found is None or found.dead else found.started_ticks

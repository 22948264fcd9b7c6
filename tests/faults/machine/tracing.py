"""A disk that fails, or is slow: system calls of a running process are tampered with by strace, until it is detached.

LD_PRELOAD does not reach nats-server, which is linked statically; a tracer does.

    with injected(pid, "fsync", "error=EIO"):
        …
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .needs import Missing, need_root, tool

ATTACH_S = 10.0
FSYNC = "fsync,fdatasync"


@contextmanager
def injected(pid: int, calls: str, effect: str) -> Iterator[None]:
    """`calls`: such as FSYNC; `effect`: as strace says it, `error=EIO` or `delay_enter=300000` (µs). Raises Missing."""
    need_root()
    said = Path(f"/tmp/jetfleet-strace-{pid}")
    arguments = [tool("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{effect}", "-p", str(pid)]
    with said.open("wb") as errors:
        tracer = subprocess.Popen(arguments, stderr=errors)
    try:
        _await_attached(pid, tracer, said)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(ATTACH_S)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        said.unlink(missing_ok=True)


def _await_attached(pid: int, tracer: subprocess.Popen[bytes], said: Path) -> None:
    """Every thread has to be caught: fsync may be called by any."""
    deadline = time.monotonic() + ATTACH_S
    while not all(_traced(task) for task in Path(f"/proc/{pid}/task").glob("*")):
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise Missing(f"strace cannot attach to a process here: {said.read_text().strip()}")
        time.sleep(0.01)


def _traced(task: Path) -> bool:
    try:
        status = task.joinpath("status").read_text()
    except OSError:
        return True  # it has ended
    return "TracerPid:\t0\n" not in status

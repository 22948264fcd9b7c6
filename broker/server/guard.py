"""The guard: a tiny process that ends the server when we are gone, however we went.

It reads a pipe whose other end only we hold. The kernel closes that end when our process ends, by `kill -9` too; then the guard ends
the server it was last told of and removes the folder, if it is a temporary one.

Why not PR_SET_PDEATHSIG: it is tied to the *thread* that started the child, it needs code between fork and exec, and only Linux has it.
"""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.subprocess import Process
from pathlib import Path

_SCRIPT = """
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ] && kill -TERM "$pid"; then
    polls=0
    while kill -0 "$pid" && [ $polls -lt 200 ]; do
        sleep 0.05
        polls=$((polls + 1))
    done
    kill -KILL "$pid"
fi
[ -z "$1" ] || rm -rf -- "$1"
"""


class Guard:
    """Started once per embedded server, told of each nats-server it starts."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, temporary: Path | None = None) -> Guard:
        """`temporary`: a folder to remove at the end."""
        # In a session of its own: Ctrl-C reaches all processes of the terminal's group, and this one must outlive us.
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _SCRIPT, "jetfleet-guard", str(temporary or ""),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        return cls(process)

    def watch(self, pid: int | None) -> None:
        """From now on this is the server to end; None: there is none."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pid or ''}\n".encode())

    async def dismiss(self) -> None:
        """Let it do what is left to do, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

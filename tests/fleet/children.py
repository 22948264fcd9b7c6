"""Processes of a fleet that are there at once: forked from one that has imported everything, since importing is most of what a start costs.

They are real processes: `kill` is SIGKILL. What is said goes to a file each, and outlives restarts. None survives the tests.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypedDict

COMMAND = "jetfleet.schemas.cli:main"
_CHILD = Path(__file__).with_name("child.py")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "jetfleet.schemas.cli",
        "jetfleet.schemas.commands",
        "jetfleet.broker.commands",
        "jetfleet.broker.api",
        "jetfleet.broker.coordinator_command",
        "jetfleet.broker.coordinator.coordinator",
        "jetfleet.broker.reader_command",
        "jetfleet.broker.read_model.reader",
        "jetfleet.workers.commands",
        "jetfleet.workers.worker_command",
        "jetfleet.workers.fleet.worker",
        "jetfleet.workers.nodes",
        "jetfleet.triggers.commands",
        "jetfleet.triggers.webhook.source",
    ]
)
if multiprocessing.current_process().name == "MainProcess":  # before a worker within the tests starts one that has imported next to nothing
    forkserver.ensure_running()


class Order(TypedDict):
    """What a child is to do. `folder`: where it works. `program`: a file to be executed in its place. `main`: else the function that is called with the arguments.

    `constants`: what to set before, by `module.NAME`. `wrappers`: modules whose `wrap()` changes what functions do.
    """

    log: str
    folder: str
    program: str
    main: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    constants: Mapping[str, Any]
    wrappers: Sequence[str]


def order(
    log: Path,
    *arguments: str,
    main: str = COMMAND,
    program: str = "",
    environment: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    wrappers: Sequence[str] = (),
) -> Order:
    return Order(
        log=str(log),
        folder=os.getcwd(),
        program=program,
        main=main,
        arguments=arguments,
        environment=dict(environment or {}),
        constants=dict(constants or {}),
        wrappers=tuple(wrappers),
    )


class Child:
    """Runs from when it is made."""

    def __init__(self, name: str, order: Order) -> None:
        self.name, self.order = name, order
        self.frozen = False
        self._process = _CONTEXT.Process(target=runpy.run_path, args=(str(_CHILD), {"ORDER": order}), name=name)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None as long as it runs; negative: the signal that killed it."""
        return self._process.exitcode

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    def kill_if_alive(self) -> None:
        if self.alive:
            self.kill()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    def ask_to_end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def gone(self, deadline_s: float) -> bool:
        """Wait for its end; False if it has not come by then."""
        await asyncio.to_thread(self._process.join, deadline_s)
        return self.exit_code is not None

    async def ended(self, deadline_s: float = 20) -> int:
        return await asyncio.to_thread(self.wait, deadline_s)

    def wait(self, deadline_s: float) -> int:
        """Wait for its end; its exit code."""
        self._process.join(deadline_s)
        assert self.exit_code is not None, f"{self.name} (pid {self.pid}) has not ended within {deadline_s:.0f} s"
        return self.exit_code

    def last_lines(self, count: int = 8) -> str:
        return "\n".join(Path(self.order["log"]).read_text(errors="replace").splitlines()[-count:])

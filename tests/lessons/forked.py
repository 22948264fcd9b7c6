"""Commands of `jetfleet` as processes that are there at once: forked from one that has imported everything, since importing is most of what
starting a process costs. They are real processes: `kill` is SIGKILL, and nothing of them is left in the one that forks."""

from __future__ import annotations

import multiprocessing

from jetfleet.schemas.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "jetfleet.schemas.cli",
        "jetfleet.schemas.commands",
        "jetfleet.broker.commands",
        "jetfleet.broker.coordinator_command",
        "jetfleet.broker.coordinator.coordinator",
        "jetfleet.workers.commands",
        "jetfleet.workers.worker_command",
        "jetfleet.workers.fleet.worker",
        "jetfleet.triggers.commands",
    ]
)


class Forked:
    """Runs from when it is made. What it says goes where the tests' own output goes."""

    def __init__(self, *arguments: str) -> None:
        self._process = _CONTEXT.Process(target=main, args=(list(arguments),), name=arguments[0])
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill_if_alive(self) -> None:
        if self.is_alive():
            self.kill()

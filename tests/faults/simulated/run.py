"""Running one seed: a loop, a folder and a world for it, and nothing of them left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from random import Random

from jetfleet.broker.coordinator import broadcast, snapshots
from jetfleet.broker.pace import Pace
from jetfleet.workers.threads import Threads

from . import clock
from .judgement import Judgement
from .loop import VirtualLoop
from .world import World

MEMORY = Path("/dev/shm")
COLLECT_EVERY = 10
_seeds = count(1)


async def _in_the_loop(threads: Threads, function: Callable[[], object]) -> object:
    return await asyncio.get_running_loop().run_in_executor(None, function)


Threads.run = _in_the_loop  # type: ignore[assignment,method-assign]  # a thread would go on in real time


def simulate(
    seed: int,
    *,
    faults: bool = True,
    trace: bool = False,
    small: bool = False,
    broken: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
) -> Judgement:
    """Live through a seed. `faults` False: the control. `small`: a small world. `broken`: a context in which something of the real code is wrong on purpose."""
    clock.begin(seed)
    began_s, judgement, loop = clock.real_s(), Judgement(seed), VirtualLoop(Random(f"loop {seed}"))
    asyncio.set_event_loop(loop)
    folder = Path(tempfile.mkdtemp(prefix="jetfleet-simulated-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    _as_when_started()
    try:
        with broken():
            loop.run_until_complete(_live(seed, loop, folder, judgement, faults, trace, small))
    finally:
        judgement.virtual_s, judgement.real_s, judgement.turns = clock.elapsed_s(), clock.real_s() - began_s, loop.turns
        _forget(loop)
        shutil.rmtree(folder, ignore_errors=True)
    return judgement


async def _live(seed: int, loop: VirtualLoop, folder: Path, judgement: Judgement, faults: bool, trace: bool, small: bool) -> None:
    await World(seed, loop, folder, judgement, trace, small).live(faults)


def broken_by(name: str) -> Callable[[], AbstractContextManager[object]]:
    """The context in which that defect of `tests/faults/broken.py` is in the code; "": none."""
    if not name:
        return contextlib.nullcontext
    from ..broken import DEFECTS

    return next(defect.broken for defect in DEFECTS if defect.name == name)


def _as_when_started() -> None:
    """What modules of jetfleet remember is of the seed before: in the world a process has an interpreter of its own."""
    snapshots.pace = Pace(turn_s=snapshots.pace._turn_s)
    broadcast._under_way.clear()


def _forget(loop: VirtualLoop) -> None:
    """Let go of tasks that never ended: dead processes end nothing. What they would still like to do while they are taken apart is nobody's
    business."""
    with _silence():
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        asyncio.set_event_loop(None)
        if next(_seeds) % COLLECT_EVERY == 0:  # a collection takes as long as a third of a seed
            gc.collect()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook

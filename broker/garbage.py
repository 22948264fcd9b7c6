"""Garbage collection in our own processes: seldom, and never for long over the same objects.

What we allocate by the million is records, effects and states of runs, which have no circles: they are freed when nobody names them.
With Python's defaults the collector takes a tenth of a busy coordinator's time, and a full collection stops it for as long as it takes
to look at every object, three for each run that is awake: 0.3 s per 100,000 of them, while no heartbeat leaves.

So the young are looked at seldom, and in a coordinator what has survived a full collection that took longer than LONG_S is *frozen*: no
later one looks at it. What is frozen and then becomes part of a circle that nobody names is never freed, so whoever lets go of many such
objects at once breaks their circles (`Run.dissolve`) or calls `thaw`. Where code of others runs, as in workers, nothing is frozen: it may
make as many circles as it likes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from typing import Any

GENERATION_0 = 50_000
"""Objects allocated between two collections of the youngest generation."""
GENERATION_1, GENERATION_2 = 2, 1
"""Collections of the youngest between two of the middle one, and of that one between two full ones. The middle one holds up the loop for
0.3 ms per thousand objects: a million of them, as 50,000 runs that wake at once, would cost a heartbeat."""
LONG_S = 0.05


class _Watch:
    """Freezes what has survived a long collection."""

    def __init__(self) -> None:
        self._began_s = 0.0

    def __call__(self, phase: str, about: Mapping[str, Any]) -> None:
        if about["generation"] < 2:
            return
        if phase == "start":
            self._began_s = time.perf_counter()
        elif time.perf_counter() - self._began_s > LONG_S:
            gc.freeze()


_watch = _Watch()


def collect_rarely() -> None:
    """From now on, in this process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GENERATION_0, GENERATION_1, GENERATION_2)


def freeze_what_lasts() -> None:
    """From now on, in this process: for those that hold much, and break its circles when they let go of it."""
    if _watch not in gc.callbacks:
        gc.callbacks.append(_watch)


def thaw() -> None:
    """Let the next full collection look at everything: much was let go of that may stand in circles."""
    gc.unfreeze()

"""A process that writes values for run after run, looks at its own while their runs are open, and holds some views for longer.

    python writing_process.py FOLDER NAME COUNT OVER

Runs are NAME-0, NAME-1, …; the file OVER says how many of them are over, as 8 bytes. Exits with 1 when a view ever shows anything but what was
written; prints how many segments it used again.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import deque
from pathlib import Path

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.schemas.payload_errors import ArenaFull
from jetfleet.schemas.ref import Ref

MIB = 1 << 20
OPEN_RUNS, HELD_VIEWS, FULL_FOR_S = 4, 6, 60.0
Value = tuple[Ref, bytes]


def write(arena: Arena, run: str, value: bytes, streamed: bool) -> Ref:
    """Waits for room as a worker does."""
    deadline = time.monotonic() + FULL_FOR_S
    while True:
        try:
            if not streamed:
                return arena.write("bytes", [value], run=run)
            with arena.stream("bytes", run=run) as writer:
                writer.write(value)
                return writer.finish()
        except ArenaFull:
            if time.monotonic() > deadline:
                raise
            os.sched_yield()


def main(folder: str, name: str, count: int, over: str) -> int:
    arena = Arena.open(ArenaSettings(Path(folder), max_bytes=24 * MIB, run_max_bytes=24 * MIB, keep_s=0, segment_bytes=256 << 10))
    chance, runs = random.Random(name), deque[list[Value]]()
    held: deque[tuple[memoryview, bytes]] = deque(maxlen=HELD_VIEWS)
    mark = os.open(over, os.O_RDWR | os.O_CREAT)
    for number in range(count):
        values = [os.urandom(chance.choice((10, 5_000, 70_000, 300_000))) for _ in range(chance.randint(1, 3))]
        runs.append([(write(arena, f"{name}-{number}", value, chance.random() < 0.3), value) for value in values])
        if len(runs) > OPEN_RUNS:
            for ref, value in runs.popleft():
                view = arena.view(ref)
                if view != value:
                    return 1
                held.append((view, value))
            os.pwrite(mark, (number - OPEN_RUNS + 1).to_bytes(8, "little"), 0)
        if any(view != value for view, value in held):
            return 1
    print(arena.counters.segments_reused)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))

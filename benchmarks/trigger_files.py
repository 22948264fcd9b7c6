"""The filesystem trigger: files of a folder as events on disk, and how long one takes at low load.

    python -m benchmarks.trigger_files [SCALE] [--profile]

Measured is the way from the start of a trigger whose folder is full to the last acknowledgement, with the server's fsync in it; and from
the rename that hands over a single file, which need not settle, to the acknowledgement. No coordinator takes events meanwhile.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import time
from pathlib import Path
from typing import Any

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import Topology
from jetfleet.broker.triggers.firing import Fate, Firing
from jetfleet.triggers import Source, Triggers

from .fleet import Fleet

FILES, PACED, PACE_S = 10_000, 1_000, 0.005
SETTLED_S = 2.5
"""Files that are as old as that need not settle."""


async def measure_files(scale: float = 1.0, profile: cProfile.Profile | None = None) -> dict[str, float]:
    """`{"events_per_s", "p50_ms", "p99_ms"}`: of a folder that is full, and of files that come one by one. Raises BenchmarkFailed."""
    async with Fleet(coordinators=0, workers=0) as fleet:
        async with await Connection.open(fleet.url, name="benchmark") as connection:
            await ensure(connection, Topology(store_bytes=4 << 30))
        folder, files = Path(fleet.folder) / "inbox", int(FILES * scale)
        folder.mkdir()
        for number in range(files):
            (folder / f"{number}.csv").write_text("x" * 100)
        await asyncio.sleep(SETTLED_S)
        await fleet.client.deploy(_flow(folder))
        began = time.perf_counter()
        async with Triggers(fleet.client, types=("filesystem",), data=Path(fleet.folder)) as triggers:
            source = await triggers.source("measured", "in")
            seconds = await fleet.watch_over(_all_confirmed(source, files, began, profile), 120)
            latencies_ms = await fleet.watch_over(_latencies(source, folder, int(PACED * scale)), 120)
    return {"events_per_s": round(files / seconds), "p50_ms": _at(latencies_ms, 0.5), "p99_ms": _at(latencies_ms, 0.99)}


def _flow(folder: Path) -> dict[str, Any]:
    return {
        "name": "measured",
        "triggers": [{"id": "in", "type": "filesystem", "params": {"path": str(folder), "settle_ms": 0}}],
        "nodes": {"seen": {"type": "std::log"}},
        "edges": [{"from": "in", "to": "seen"}],
    }


async def _all_confirmed(source: Source, files: int, began: float, profile: cProfile.Profile | None) -> float:
    """Seconds until all files were confirmed."""
    done, waiting = asyncio.Event(), [files]

    def confirmed(firing: Firing) -> None:
        waiting[0] -= 1
        if not waiting[0]:
            done.set()

    _told(source, confirmed)
    if profile is not None:
        profile.enable()
    await done.wait()
    seconds = time.perf_counter() - began
    if profile is not None:
        profile.disable()
    return seconds


async def _latencies(source: Source, folder: Path, files: int) -> list[float]:
    """In ms, ascending: from the rename of a file until its event is on disk."""
    handed_over: dict[str, float] = {}
    latencies_ms: list[float] = []
    done = asyncio.Event()

    def confirmed(firing: Firing) -> None:
        latencies_ms.append((time.perf_counter() - handed_over[firing.payload["name"]]) * 1e3)
        if len(latencies_ms) == files:
            done.set()

    _told(source, confirmed)
    for number in range(files):
        half, name = folder / ".half", f"paced-{number}.csv"
        half.write_text("x" * 100)
        handed_over[name] = time.perf_counter()
        half.rename(folder / name)
        await asyncio.sleep(PACE_S)
    await done.wait()
    return sorted(latencies_ms)


def _told(source: Source, confirmed: Any) -> None:
    """Have each confirmation told as well."""
    plain = type(source).confirm

    def confirm(firing: Firing, fate: Fate) -> None:
        plain(source, firing, fate)
        confirmed(firing)

    source.confirm = confirm  # type: ignore[method-assign]


def _at(latencies_ms: list[float], share: float) -> float:
    return round(latencies_ms[min(int(len(latencies_ms) * share), len(latencies_ms) - 1)], 2)


def main() -> None:
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    scale = next((float(word) for word in sys.argv[1:] if not word.startswith("-")), 1.0)
    print(asyncio.run(measure_files(scale, profile)))
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()

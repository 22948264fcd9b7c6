"""Large values: written into the arena, handed over on a host, alive without their producer, fetched from another host.

    write_ratio               Arena.write, encoded and with checksum, against a plain copy; `first_…`: in a new arena (arena_writes.py)
    handover_ms               from when the completion is stored until the consumer's function holds the value (handover.py)
    handover_extra_ms         how much more that is than for the smallest size
    consumer_extra_rss_bytes  what the consumer's process took of memory of its own while it held the value and summed it up (footprint.py)
    consumer_mapped_bytes     what it had mapped meanwhile, which lies in memory once for all
    consumer_peak_rss_bytes   the most that its resident memory grew by, both together
    killed_producer           the producer is killed before there is a consumer (killed_producer.py)
    two_hosts                 MB/s through the object store, beside a raw pipeline (two_hosts.py)

What a size needs and the machine does not have is said in `skipped`.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from . import arena_writes, killed_producer, two_hosts
from .fleet import Fleet
from .footprint import Footprint
from .handover import HELD, KINDS, MADE, NODES, Pair, arena_options, flow, pair
from .loops import run_in_loop

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = (KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB, GIB)
RUNS, LARGE_RUNS_MIN, WATCHED_RUNS, WARM_UP_RUNS = 20, 5, 3, 2
LARGE_BYTES = 16 * MIB
"""Above that a run takes long, and a quarter of the runs is enough."""
ARENA_MAX_BYTES = GIB
ARENA_SIZES, MEMORY_SIZES = 4, 8
"""An arena takes four values of the largest size; all that happens with one of them takes eight times its size in memory."""
SHARED_MEMORY = Path("/dev/shm")
SURVIVED, FETCHED = (16 * MIB, 256 * MIB), (16 * MIB, 256 * MIB)

Case: TypeAlias = tuple[int, str]
"""Bytes and kind."""


def measure(scale: float, arena: Path | None = None, sizes: Sequence[int] = (), runs: int = 0) -> dict[str, Any]:
    """`arena`: the folder that arenas are made in, by default a tmpfs where there is one."""
    wanted = sizes or (SIZES if scale >= 1 else SIZES[:4])
    with _folder(arena) as folder:
        fitting = [size for size in wanted if not _lacks(folder, size)]
        arena_max = max(ARENA_MAX_BYTES, ARENA_SIZES * max(fitting, default=0))
        figures = run_in_loop(_measure(scale, folder, arena_max, fitting, runs or max(int(RUNS * scale), WATCHED_RUNS)))
        skipped = [{"bytes": size, "because": _lacks(folder, size)} for size in wanted if size not in fitting]
    return {"arena": str(folder.parent), **figures, "skipped": skipped}


async def _measure(scale: float, folder: Path, arena_max: int, sizes: Sequence[int], runs: int) -> dict[str, Any]:
    writes = {(size, kind): await arena_writes.measure(folder, kind, size, scale) for size in sizes for kind in KINDS}
    passed = await _same_host(folder / "arena", arena_max, sizes, runs) if sizes else {}
    survived = [size for size in SURVIVED if size in sizes]
    fetched = [size for size in FETCHED if size in sizes]
    return {
        "runs": runs,
        "cases": [{"bytes": size, "kind": kind, **writes[size, kind], **passed[size, kind]} for size in sizes for kind in KINDS],
        "killed_producer": [await killed_producer.measure(folder / "killed", arena_max, size) for size in survived],
        "two_hosts": await two_hosts.measure(folder / "hosts", arena_max, fetched, max(runs // 6, 2)) if fetched else {},
    }


async def _same_host(arena: Path, arena_max: int, sizes: Sequence[int], runs: int) -> dict[Case, dict[str, Any]]:
    flows = [flow(_flow(kind), f"make_{kind}", f"hold_{kind}") for kind in KINDS]
    found: dict[Case, dict[str, Any]] = {}
    async with Fleet(workers=0) as fleet:
        maker, holder = (fleet.start_worker("--queue", queue, *arena_options(arena, arena_max), nodes=NODES) for queue in (MADE, HELD))
        async with pair(fleet, flows, maker, holder) as workers:
            for kind in KINDS:
                for together in _groups(sizes):
                    handover_ms = await _in_turns(workers, kind, together, _runs_of(together[-1], runs))
                    for size in together:
                        if (size, kind) not in found:
                            watched = [await _watched(workers, size, kind) for _ in range(WATCHED_RUNS)]
                            found[size, kind] = _figures(handover_ms[size], handover_ms[sizes[0]], watched)
    return found


def _groups(sizes: Sequence[int]) -> list[list[int]]:
    """Sizes that are handed over in turns: each larger one with the smallest alone, since it takes the arena's room from the others."""
    small = [size for size in sizes if size <= LARGE_BYTES] or list(sizes[:1])
    return [small, *([sizes[0], size] for size in sizes if size not in small)]


async def _in_turns(workers: Pair, kind: str, sizes: Sequence[int], runs: int) -> dict[int, list[float]]:
    """Milliseconds by size. In turns, so that what the machine does meanwhile happens to all of them."""
    handover_ms: dict[int, list[float]] = {size: [] for size in sizes}
    for number in range(WARM_UP_RUNS + runs):
        for size in sizes:
            took_ms = await workers.hand_over(_flow(kind), size)
            if number >= WARM_UP_RUNS:
                handover_ms[size].append(took_ms)
    return handover_ms


def _runs_of(size: int, runs: int) -> int:
    return runs if size <= LARGE_BYTES else max(runs // 4, LARGE_RUNS_MIN)


def _flow(kind: str) -> str:
    return f"payload_{kind}"


def _figures(handover_ms: Sequence[float], smallest_ms: Sequence[float], watched: Sequence[Footprint]) -> dict[str, Any]:
    median_ms = statistics.median(handover_ms)
    return {
        "handovers": len(handover_ms),
        "handover_ms": round(median_ms, 3),
        "handover_extra_ms": round(median_ms - statistics.median(smallest_ms), 3),
        "consumer_extra_rss_bytes": max(each.own_bytes for each in watched),
        "consumer_mapped_bytes": max(each.mapped_bytes for each in watched),
        "consumer_peak_rss_bytes": max(each.peak_bytes for each in watched),
    }


async def _watched(workers: Pair, size: int, kind: str) -> Footprint:
    with Footprint(workers.holder.pid) as footprint:
        await workers.hand_over(_flow(kind), size)
    return footprint


# --- where


@contextlib.contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """A folder for arenas that is gone afterwards."""
    if parent is None and SHARED_MEMORY.is_dir():
        parent = SHARED_MEMORY
    with tempfile.TemporaryDirectory(prefix="jetfleet-payload-", dir=parent) as folder:
        yield Path(folder)


def _lacks(folder: Path, size: int) -> str:
    """What the machine has too little of for values of that size; "": nothing."""
    memory, free = _available_bytes(), shutil.disk_usage(folder).free
    if memory < MEMORY_SIZES * size:
        return f"takes {_gib(MEMORY_SIZES * size)} of memory, {_gib(memory)} are available"
    if free < ARENA_SIZES * size:
        return f"takes {_gib(ARENA_SIZES * size)} in {folder.parent}, {_gib(free)} are free"
    return ""


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"

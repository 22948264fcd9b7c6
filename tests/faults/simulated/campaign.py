"""A campaign: many seeds, here one after the other, or in processes of their own by the dozen.

What is printed of a seed that failed is enough to see it again: how to repeat it, what is wrong, and what was done to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

CHUNK = 20
"""Seeds for one process: to start one costs as much as four of them."""
SHOWN = 12


def run_here(options: argparse.Namespace) -> int:
    """In this process, whose time and chance were replaced."""
    import gc
    import logging

    from .run import broken_by, simulate
    from .sayings import sayings

    sayings.listen(logging.DEBUG if options.trace else logging.WARNING)
    gc.collect()
    gc.freeze()
    gc.disable()
    tally = Tally()
    for broken in options.broken.split(","):
        for seed in options.seeds:
            judgement = simulate(seed, faults=not options.calm, trace=options.trace, small=options.small, broken=broken_by(broken))
            found = dict(vars(judgement)) | {"broken": broken}
            tally.add(found)
            if options.json:
                print(json.dumps(found if judgement.complaints else found | {"log": []}, default=str), flush=True)
            else:
                _print(found, options, len(options.seeds) == 1)
            if options.first and judgement.complaints:
                break
    if not options.json:
        print(tally.text())
    return 1 if tally.failed else 0


def run_many(options: argparse.Namespace) -> int:
    """In several processes at a time."""
    tally = asyncio.run(_shared(options))
    if not options.json:
        print(tally.text())
    return 1 if tally.failed else 0


async def _shared(options: argparse.Namespace) -> Tally:
    tally, end_s = Tally(), time.monotonic() + options.for_s
    chunks = _chunks(options.seeds.start, None if options.for_s else options.seeds.stop)

    async def work() -> None:
        for chunk in chunks:
            if options.for_s and time.monotonic() > end_s:
                return
            await _chunk(chunk, options, tally)

    await asyncio.gather(*(work() for _ in range(max(1, options.jobs))))
    return tally


def _chunks(start: int, stop: int | None) -> Iterator[range]:
    for first in count(start, CHUNK) if stop is None else range(start, stop, CHUNK):
        yield range(first, first + CHUNK if stop is None else min(first + CHUNK, stop))


async def _chunk(seeds: range, options: argparse.Namespace, tally: Tally) -> None:
    words = [sys.executable, "-m", "tests.faults.simulate", "--seeds", f"{seeds[0]}..{seeds[-1]}", "--json"]
    words += ["--calm"] * options.calm + ["--small"] * options.small + (["--broken", options.broken] if options.broken else [])
    process = await asyncio.create_subprocess_exec(
        *words, env={**os.environ, "PYTHONHASHSEED": "0"}, stdout=asyncio.subprocess.PIPE, limit=1 << 26
    )
    assert process.stdout is not None
    seen = 0
    async for line in process.stdout:
        found = json.loads(line)
        seen += 1
        tally.add(found)
        if options.json:
            print(line.decode(), end="", flush=True)
        elif found["complaints"]:
            _print(found, options, False)
    await process.wait()
    if seen < len(seeds):
        tally.failed.append(seeds[seen])
        print(f"seed {seeds[seen]}: the simulator itself failed, see above", flush=True)


class Tally:
    """What came of all seeds together."""

    def __init__(self) -> None:
        self.seeds = 0
        self.failed: list[int] = []
        self._sums: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._recovery_s: list[float] = []
        self._began_s = _now_s()

    def add(self, found: dict[str, Any]) -> None:
        self.seeds += 1
        if found["complaints"]:
            self.failed.append(found["seed"])
        self._faults.update(found["faults"])
        self._recovery_s += found["recovery_s"]
        for key in ("acked", "runs", "ended", "duplicates", "unknown", "virtual_s", "real_s"):
            self._sums[key] += found[key]

    def text(self) -> str:
        sums, took_s = self._sums, max(_now_s() - self._began_s, 1e-9)
        faults = ", ".join(f"{number:,} {kind}" for kind, number in sorted(self._faults.items())) or "none"
        recovered = sorted(self._recovery_s)
        lines = [
            f"{self.seeds:,} seeds, {len(self.failed)} failed{': ' if self.failed else ''}{', '.join(map(str, self.failed[:50]))}",
            f"{self._faults.total():,} faults: {faults}",
            f"{sums['acked']:,} acknowledged, {sums['runs']:,} runs, {sums['ended']:,} ended; {sums['unknown']:,} unknown publishes, "
            f"{sums['duplicates']:,} executions repeated",
            f"{self.seeds / took_s:.1f} seeds/s, {sums['virtual_s'] / max(sums['real_s'], 1e-9):,.0f} virtual seconds per second of one core",
        ]
        if recovered:
            lines.append(f"recovery, virtual: p50 {recovered[len(recovered) // 2]:.2f} s, max {recovered[-1]:.2f} s, n {len(recovered):,}")
        return "\n".join(lines)


def _now_s() -> float:
    clock = sys.modules.get("tests.faults.simulated.clock")
    return clock.real_s() if clock is not None else time.perf_counter()


def _print(found: dict[str, Any], options: argparse.Namespace, alone: bool) -> None:
    complaints = found["complaints"]
    if not complaints and not alone:
        return
    broken = f" --broken {found['broken']}" if found["broken"] else ""
    lines = [f"seed {found['seed']}: {'FAILED' if complaints else 'ok'}, {found['ended']} runs ended, digest {found['digest']}"]
    lines += [f"    {complaint}" for complaint in complaints[:SHOWN]]
    lines += [f"    … and {len(complaints) - SHOWN} more complaints"] * (len(complaints) > SHOWN)
    lines += [f"  | {line}" for line in (found["trace"] if options.trace else [])]
    lines += [f"  > {line}" for line in (found["log"] if alone else found["log"][-SHOWN:])]
    if complaints:
        lines.append(
            f"    repeat: python -m tests.faults.simulate --seed {found['seed']}{' --calm' * options.calm}{' --small' * options.small}{broken}"
        )
    print("\n".join(lines), flush=True)

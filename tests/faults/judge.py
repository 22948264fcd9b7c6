"""What came of a world: it settles, and then the checkers hold its streams against the ledger."""

from __future__ import annotations

import asyncio
from typing import Any

from .outcome import Outcome
from .recovery import Recovery, percentiles, recoveries
from .world import SETTLE_S, World, role_of

SHOWN = 5


async def judge(name: str, n: int, one: World, *, settle_s: float = SETTLE_S, **more: Any) -> Outcome:
    """Let the world settle, and say what the checkers found. `more`: further fields of the evidence, and `control`."""
    control = more.pop("control", False)
    open = await one.settle(settle_s)
    evidence = await one.evidence(**more)
    recovered = recoveries(one.strikes, evidence, one.watcher.ends, one.shape.partitions)
    known = {"n": n, "seed": one.seed, "control": control, "recovery_s": [each.first_s for each in recovered]}
    outcome = await asyncio.to_thread(Outcome.of, name, evidence, **known)  # other worlds of this loop have networks that it must keep up
    outcome.notes += _times(recovered) + [f"{count} × {what}" for what, count in one.exits.items()]
    outcome.complaints += [f"not ended when all was over: {await one.why(run)}" for run in open[:SHOWN]]
    if len(open) > SHOWN:
        outcome.complaints.append(f"… and {len(open) - SHOWN} more")
    one.keep |= not outcome.ok
    if one.keep:
        outcome.notes.append(f"ledger and logs: {one.folder}")
    return outcome


def _times(recovered: list[Recovery]) -> list[str]:
    """Recovery times as p50 / p99 / max, of all faults and of each kind."""
    kinds: dict[str, list[Recovery]] = {"all faults": recovered}
    if struck_again := [each for each in recovered if not each.alone]:
        kinds["those without another fault before the first progress"] = [each for each in recovered if each.alone]
        kinds["those with one"] = struck_again
    for each in recovered:
        kinds.setdefault(f"{each.strike.kind} {role_of(each.strike.name)}", []).append(each)
    return [
        f"{kind}: first progress {percentiles([each.first_s for each in found])}, all of it {percentiles([each.all_s for each in found])}"
        for kind, found in kinds.items()
        if found
    ]

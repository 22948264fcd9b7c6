"""F0: nothing is injected. Every invariant holds, and nothing is executed twice."""

from __future__ import annotations

from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import Shape, world

RUNS, RUNS_QUICK = 400, 60


async def play(settings: Settings) -> Outcome:
    runs = settings.count(RUNS, RUNS_QUICK)
    async with world(Shape(rate=60, count=runs), settings.seed) as one:
        one.publish()
        await one.all_published()
        outcome = await judge("control", runs, one, control=True)
    if outcome.duplicates:
        outcome.complaints.append(f"{outcome.duplicates} executions too many, although nothing was disturbed")
    return outcome

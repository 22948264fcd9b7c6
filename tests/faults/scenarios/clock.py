"""F13: the wall clocks of all coordinators jump by an hour and by 15 days, back and forth: no timer and no tick is lost, doubled, or early by them."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jetfleet.schemas import subjects
from jetfleet.schemas.records import RunStarted

from .. import flows
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..shape import EAGER, KEEPING
from ..world import COORDINATOR, Shape, World, world

JUMPS_S = (3_600, -3_600, 15 * 86_400, -15 * 86_400)
TIMES, TIMES_QUICK = 8, 2
RATE = 20
WARM = 20
WRONG_S = 3.0
TICKS = "f-ticks"
SKEWED = "tests.faults.skewed"


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    with tempfile.NamedTemporaryFile("w") as offset:
        constants = {COORDINATOR: {**EAGER[COORDINATOR], f"{SKEWED}.FILE": offset.name}}
        shape = Shape(
            rate=RATE,
            triggers=0,
            mix=(flows.TIMED, flows.CHAIN),
            constants=constants,
            wrappers={COORDINATOR: (SKEWED, *KEEPING[COORDINATOR])},
        )
        async with world(shape, settings.seed) as one:
            await one.deploy(ticking())
            one.publish()
            for number in range(times):
                await one.ended(len(one.watcher.ends) + WARM)
                await jump(one, Path(offset.name), JUMPS_S[number % len(JUMPS_S)])
            outcome = await judge("clock", times, one)
            outcome.complaints += ticks_missed(one)
            outcome.notes.append(f"{len(ticks(one))} ticks of a cron trigger, one a second")
    return outcome


async def jump(one: World, offset: Path, seconds: int) -> None:
    one.struck("clock jumped", COORDINATOR + "-0")
    offset.write_text(str(seconds))
    await asyncio.sleep(WRONG_S)
    offset.write_text("0")
    one.ledger.healed(f"clock jumped {COORDINATOR}")


def ticking() -> dict[str, object]:
    return flows.flow(TICKS, {"tick": flows.WORK}, [], {"id": "every", "type": "cron", "params": {"schedule": "* * * * * *"}})


def ticks(one: World) -> dict[str, int]:
    """The runs of the cron trigger, and when they were begun."""
    started = [entry for entry in one.recorder.entries if type(entry.record) is RunStarted and entry.record.run.startswith(TICKS)]
    return {entry.record.run: entry.at_ns for entry in reversed(started)}


def ticks_missed(one: World) -> list[str]:
    """Seconds between the first tick and the last without a run, and runs that are of no second."""
    begun = ticks(one)
    if not begun:
        return ["not one tick came"]
    first, last = (datetime.fromtimestamp(at // 10**9, UTC) for at in (min(begun.values()), max(begun.values())))
    seconds = [first + timedelta(seconds=number) for number in range(-2, int((last - first).total_seconds()) + 1)]
    runs = {subjects.run_id(TICKS, f"every/{second.isoformat().replace('+00:00', 'Z')}"): second for second in seconds}
    came = [place for place, run in enumerate(runs) if run in begun]
    missed = [str(second) for place, (run, second) in enumerate(runs.items()) if came[0] < place < came[-1] and run not in begun]
    strange = sorted(begun.keys() - runs.keys())
    return [f"no run of {second}" for second in missed] + [f"{run} is of no second" for run in strange]

"""Small editions of the scenarios with real processes, all at once: they mostly wait. The full ones: `python -m tests.faults all`, `make soak`.

What `tests/fleet/` shows already is left out: one kill of each kind under load (`test_worker_deaths`, `test_coordinator_deaths`,
`test_read_model_deaths`, `test_coordinator_server`), a server that forgets, a lost answer and a fenced repetition (`tests/client`).
"""

from __future__ import annotations

import asyncio
import time

import pytest

from ..fleet.running import run
from . import registry
from .outcome import Outcome
from .registry import Missing, Settings

GATE = {"kills": 5, "zombie_worker": 1, "zombie_coordinator": 1, "frozen_server": 1, "one_way": 2, "cut": 5}
"""Scenarios of every commit, and how many faults each injects."""
LONG_S = 900
AT_ONCE = 2
"""Worlds at a time: more of them would wait for the processor, and not for time to pass."""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome | BaseException]:
    """Of the scenarios of the gate, played side by side."""

    async def play_all() -> dict[str, Outcome | BaseException]:
        room = asyncio.Semaphore(AT_ONCE)

        async def play(name: str, n: int) -> Outcome:
            async with room:
                return await registry.played(name, Settings(n=n, seed=time.time_ns() % 10**6, quick=True))

        ends = await asyncio.gather(*(play(name, n) for name, n in GATE.items()), return_exceptions=True)
        return dict(zip(GATE, ends, strict=True))

    return run(play_all(), 300)


@pytest.mark.parametrize("name", GATE)
def test_nothing_is_lost_stuck_doubled_or_wrong(name: str, outcomes: dict[str, Outcome | BaseException]) -> None:
    outcome = outcomes[name]
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome.faults.total() >= GATE[name]
    assert outcome.ok, f"--seed {outcome.seed}: {outcome.complaints}\n{outcome.notes}"
    assert outcome.acked > 0 and outcome.lost == outcome.stuck == outcome.reexecuted == 0


@pytest.mark.soak
@pytest.mark.parametrize("name", registry.names())
def test_every_scenario_at_full_length(name: str) -> None:
    try:
        outcome = run(registry.played(name, Settings(seed=time.time_ns() % 10**6)), LONG_S)
    except Missing as missing:
        pytest.skip(str(missing))
    assert outcome.ok, f"--seed {outcome.seed}: {outcome.complaints}\n{outcome.notes}"

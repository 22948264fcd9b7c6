"""Small editions of the scenarios with real processes, each a test of its own. The full ones: `python -m tests.faults all`, `make soak`.

What `tests/fleet/` shows already is left out: one kill of each kind under load (`test_worker_deaths`, `test_coordinator_deaths`,
`test_read_model_deaths`, `test_coordinator_server`), a server that forgets, a lost answer and a fenced repetition (`tests/client`).
"""

from __future__ import annotations

import time

import pytest

from ..fleet.running import run
from . import registry
from .registry import Missing, Settings

GATE = {"kills": 5, "zombie_worker": 1, "zombie_coordinator": 1, "frozen_server": 1, "one_way": 2, "cut": 5}
"""Scenarios of every commit, and how many faults each injects."""
GATE_S, LONG_S = 290, 900


@pytest.mark.parametrize("name", GATE)
def test_nothing_is_lost_stuck_doubled_or_wrong(name: str) -> None:
    """One world at a time: its harness carries the networks of all its processes, and must not be what they wait for."""
    outcome = run(registry.played(name, Settings(n=GATE[name], seed=time.time_ns() % 10**6, quick=True)), GATE_S)
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

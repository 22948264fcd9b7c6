"""Faults of the machine, small: one power cut, one damaged file. The full ones: `python -m tests.faults power_cut --n 50`, `make soak`."""

from __future__ import annotations

import time

import pytest

from ..fleet.running import run
from . import registry
from .registry import Missing, Settings

GATE_S = 150


@pytest.mark.parametrize("name", ["power_cut", "corruption"])
def test_what_the_machine_does_is_survived_or_told(name: str) -> None:
    try:
        outcome = run(registry.played(name, Settings(n=1, seed=time.time_ns() % 10**6, quick=True)), GATE_S)
    except Missing as missing:
        pytest.skip(str(missing))
    assert outcome.ok, f"--seed {outcome.seed}: {outcome.complaints}\n{outcome.notes}"
    assert outcome.acked > 0 and outcome.lost == outcome.stuck == 0

"""How many things are handed over, and how often who serves them is killed."""

from __future__ import annotations

import pytest

WITHIN_S = 600
AMOUNTS = pytest.mark.parametrize(
    ("count", "kills"), [pytest.param(500, 2, id="500"), pytest.param(10_000, 10, id="10000", marks=pytest.mark.soak)]
)

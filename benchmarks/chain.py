"""Three nodes in a chain that do next to nothing: what the fleet itself costs, in throughput and in latency.

2,000 runs at a time give `nodes_per_s`; one run at a time gives `p50_ms` and `p99_ms`. The ceiling is the bare pipeline, in turns with the
fleet.
"""

from __future__ import annotations

from typing import Any

from .comparison import Plan, compare
from .fleet import chain
from .loops import run_in_loop

LENGTH = 3
ROUNDS = 5


def measure(scale: float) -> dict[str, Any]:
    plan = Plan(
        shape="chain",
        size=LENGTH,
        flow=chain("chain", *["bench.inline"] * LENGTH),
        warm_up=(int(5_000 * scale), 500),
        crowd=(int(20_000 * scale), 2_000),
        alone=int(200 * scale),
        rounds=max(int(ROUNDS * scale), 1),
    )
    return run_in_loop(compare(plan))

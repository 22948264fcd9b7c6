"""One node, a split into 1,000 items with one node each, one node that gets all their results and counts them.

Eight such runs at a time give `nodes_per_s` (a run has 1,002 nodes), one at a time gives `p50_ms` and `p99_ms`.
"""

from __future__ import annotations

from typing import Any

from .comparison import Plan, compare
from .fleet import UNLIMITED
from .loops import run_in_loop
from .shapes import nodes_of

ITEMS = 1_000
ROUNDS = 5
FLOW = {
    "name": "fanout",
    "nodes": {
        "first": {"type": "bench.inline"},
        "each": {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": ITEMS}},
        "work": {"type": "bench.inline"},
        "last": {"type": "bench.count"},
    },
    "settings": UNLIMITED,
    "edges": [{"from": "first", "to": "each"}, {"from": "each.item", "to": "work"}, {"from": "each.done", "to": "last"}],
}


def measure(scale: float) -> dict[str, Any]:
    plan = Plan(
        shape="fan",
        size=ITEMS,
        flow=FLOW,
        warm_up=(10, 2),
        crowd=(max(int(80 * scale), 8), 8),
        alone=max(int(20 * scale), 5),
        rounds=max(int(ROUNDS * scale), 1),
    )
    return {"nodes_per_run": nodes_of("fan", ITEMS), **run_in_loop(compare(plan))}

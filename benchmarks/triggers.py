"""Events from outside: from each kind of source to an event on disk, and to a run that has started.

What the figures are is said in `trigger_stage.py`; each adapter has a file and a fleet of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import trigger_kafka
from .loops import run_in_loop
from .processes import BenchmarkFailed
from .trigger_files import Files
from .trigger_kafka import Kafka
from .trigger_memory import Memory
from .trigger_queue import Messages
from .trigger_stage import Adapter
from .trigger_stage import measure as measure_adapter
from .trigger_webhook import Webhook

ADAPTERS: Mapping[str, Callable[[], Adapter]] = {
    "memory": Memory,
    "queue": Messages,
    "webhook": Webhook,
    "filesystem": Files,
    "kafka": Kafka,
}


def measure(scale: float, only: Sequence[str] = ()) -> dict[str, Any]:
    """By adapter. `only`: these; none: all for which everything is installed. Raises BenchmarkFailed.

    The server writes to disk before it acknowledges.
    """
    for name in only:
        if name not in ADAPTERS:
            raise BenchmarkFailed(f"{name} is none of {', '.join(ADAPTERS)}")
    return run_in_loop(_measure(scale, only))


async def _measure(scale: float, only: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, make in ADAPTERS.items():
        if only and name not in only:
            continue
        missing = trigger_kafka.missing() if name == "kafka" else []
        if missing:
            print(f"kafka is left out: {' and '.join(missing)} is missing (pip install 'jetfleet[dev]')", file=sys.stderr)
            continue
        figures[name] = await measure_adapter(make(), scale)
    return figures

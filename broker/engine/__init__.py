"""The engine: every flow semantic, as pure functions over the state of one run.

It reads no clock, draws no random number and does no I/O; time and ids come from the records. The same functions run in the
coordinator, in the in-process runner, in replay and in the simulator.
"""

from .decide import begin, decide, fold, state_at
from .inspection import Blocked, NodeView, blocked_on, nodes
from .outstanding import awaited_events, has_tasks_out, outstanding, timers, wants
from .snapshot import digest, is_of, restore, snapshot
from .state import Run, Status

__all__ = [
    "Blocked", "NodeView", "Run", "Status", "awaited_events", "begin", "blocked_on", "decide", "digest", "fold", "has_tasks_out", "is_of",
    "nodes", "outstanding", "restore", "snapshot", "state_at", "timers", "wants",
]  # fmt: skip

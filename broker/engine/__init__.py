"""The engine: every flow semantic, as pure functions over the state of one run.

It reads no clock, draws no random number and does no I/O; time and ids come from the records. The same functions run in the
coordinator, in the in-process runner, in replay and in the simulator.
"""

from .asking import asks, awaits_any, is_asked, refusal
from .claims import claims_slot, is_queued
from .decide import begin, decide
from .event_waits import awaits, event_waits, hears
from .folding import fold, reopen, state_at
from .inspection import Blocked, NodeView, blocked_on, nodes
from .outstanding import has_tasks_out, outstanding, timers, wants
from .reopening import NeverRan, to_fork, to_retry
from .snapshot import digest, is_of, restore, snapshot, trimmed, untrimmed
from .state import Run, Status

__all__ = [
    "Blocked", "NeverRan", "NodeView", "Run", "Status", "asks", "awaits", "awaits_any", "begin", "blocked_on", "claims_slot", "decide",
    "digest", "event_waits", "fold", "has_tasks_out", "hears", "is_asked", "is_of", "is_queued", "nodes", "outstanding", "refusal",
    "reopen", "restore", "snapshot", "state_at", "timers", "to_fork", "to_retry", "trimmed", "untrimmed", "wants",
]  # fmt: skip

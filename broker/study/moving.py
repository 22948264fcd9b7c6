"""Moving: what would let a waiting run go on, and the command that does it, where somebody can do something."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ..engine import Blocked, Run


@dataclass(frozen=True, slots=True)
class Move:
    """`command` is "" where time alone, or nobody, can move it."""

    what: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.command}" if self.command else self.what


def move(run: Run, wait: Blocked) -> Move:
    """What ends this wait of a run."""
    id = shlex.quote(run.id)  # those of sub-flows hold brackets, which shells read as patterns
    match wait.reason:
        case "paused" if run.paused_with_flow:
            return Move("its flow goes on", f"jetfleet flow resume {run.plan.name}")
        case "paused":
            return Move("somebody resumes it", f"jetfleet runs resume {id}")
        case "approval":
            return Move("somebody decides", f"jetfleet runs approve {id} {shlex.quote(wait.detail)}")
        case "signal":
            return Move("somebody sends the signal", f"jetfleet runs signal {id} {shlex.quote(wait.detail)} 'JSON'")
        case "event":
            return Move("an event of that name comes, and its fields fit", f"jetfleet runs event {shlex.quote(wait.detail)} 'JSON'")
        case "child":
            return Move("that run ends", f"jetfleet runs explain {shlex.quote(wait.detail)}")
        case "task":
            return Move("a worker of that queue ends it; to see whether there is one", "jetfleet doctor")
        case "timer" | "retry" | "scope_retry":
            return Move("time passes")
        case "limit" if wait.due is not None:  # of a rate: its time is settled
            return Move("its turn comes")
        case "limit":
            return Move(
                "whoever has the limit's slots gives one back", f"jetfleet limits show {shlex.quote(wait.detail.partition(', ')[0])}"
            )
        case "room":
            return Move("runs end that have values there; which ones, on that host", "jetfleet arena stats")
        case "payload" if wait.node == "run":
            return Move("a worker is started on that host, with its arena")
        case "payload":
            return Move("a worker makes the payload again")
    return Move(wait.detail or "nothing that is known")

"""The nodes of small fleets: those of the load, and two that fail on purpose. Whatever begins stands in the ledger first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, NodeError, node

sys.path.append(str(Path(__file__).resolve().parents[2]))

from tests.faults.effects import inline, note, work

__all__ = ["flaky", "inline", "logs_in", "work"]


@node("s.flaky")
async def flaky(value: Any, context: Context) -> Any:
    """Its first attempt fails."""
    note(context)
    if context.attempt == 1:
        raise NodeError("the first attempt was told to fail", type="flaky")
    return value


@node("s.logs_in")
async def logs_in(value: Any, context: Context) -> Any:
    """Fails, and says too much about it in the log of its worker."""
    note(context)
    context.log.error(f"the password {context.secrets['canary']} was refused")
    raise NodeError("the password was refused", type="refused", retryable=False)

"""The nodes of these flows. Each execution leaves a line in the folder that the flow's `env` names; files there decide who waits."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, NodeError, node

FOLDER = "LESSON"
"""The entry of `settings.env`."""
LOOK_S = 0.01


def _note(folder: Path, file: str, *words: object) -> None:
    with open(folder / file, "ab", buffering=0) as log:  # one write: lines of several processes do not mix
        log.write((" ".join(map(str, words)) + "\n").encode())


@node("k.do")
async def do(value: Any, config: dict[str, Any], context: Context) -> Any:
    """Leaves a line; waits for the file `gate`; fails the first `fails` attempts; gives what `gives` says, else what it got.

    `until_all`: waits until so many executions of its node have begun. `permanent`: a failure is for good.
    """
    folder, identity = Path(context.env[FOLDER]), context.identity
    activation = ".".join(map(str, identity.activation))
    _note(folder, "executions", identity.run_id, activation, identity.attempt, context.node, time.time_ns())
    _note(folder, "keys", context.node, identity.attempt, context.idempotency_key)
    try:
        while "gate" in config and not (folder / config["gate"]).exists():
            await asyncio.sleep(LOOK_S)
        while config.get("until_all", 0) > len({line for line in _lines(folder) if line.split()[3] == context.node}):
            await asyncio.sleep(LOOK_S)
    except asyncio.CancelledError:
        _note(folder, "cancelled", context.node)
        raise
    if identity.attempt <= config.get("fails", 0):
        permanent = bool(config.get("permanent"))
        raise NodeError(f"attempt {identity.attempt} was told to fail", type=config.get("type", "told"), retryable=not permanent)
    return config.get("gives", value)


def _lines(folder: Path) -> list[str]:
    return (folder / "executions").read_text().splitlines()

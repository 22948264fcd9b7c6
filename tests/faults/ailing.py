"""A server whose disk failed it: it does not take everything any more, says so where it is asked, and has to be started again."""

from __future__ import annotations

import time

from .accepting import doctor
from .world import SERVER, World

NAMED_S = 15
"""Within so long the cause has to be found by who asks for it; a checkup of a server that does not answer takes most of that."""


async def named(one: World, cause: str) -> list[str]:
    """A complaint, unless the doctor says that the server does not take work, and why."""
    monitor = f"http://{one.server.host}:{one.server.monitor_port}"
    ends_at, said = time.monotonic() + NAMED_S, ""
    while time.monotonic() < ends_at:
        said = await doctor(one, "--monitor", monitor)
        if any(line.startswith("bad") and "does not take work" in line and cause in line for line in said.splitlines()):
            return []
    return [f"the doctor does not say that the cause is {cause!r}: {said}"]


async def restarted(one: World, fault: str) -> None:
    """What the documentation tells an operator to do."""
    one.children[SERVER].kill()
    await one.start_server()
    one.ledger.healed(f"{fault} {SERVER}")

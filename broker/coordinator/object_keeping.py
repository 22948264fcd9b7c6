"""Keeping the object store: the coordinator that owns partition 0 frees what no run needs any more.

Any number of janitors may sweep at a time, so it does no harm if two coordinators believe for a moment to own that partition. What goes
wrong is logged and tried again: runs do not depend on it, only the room in the store does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ...schemas.errors import JetfleetError
from ..client import Connection
from ..objects.janitor import Janitor
from ..objects.opening import deployed_chunks
from ..payloads.run_states import RunStates

SWEEP_S = 30.0
"""A sweep reads every pin and every object's meta. Objects stay for a minute after their last pin: more often would free little more."""

log = structlog.get_logger("jetfleet.coordinator")


async def keep_objects(connection: Connection, partitions: int, is_mine: Callable[[], bool], every_s: float = SWEEP_S) -> None:
    """Sweep as long as this is not cancelled, whenever `is_mine` says that it is for this process to do."""
    states = RunStates(connection, partitions)
    while True:
        await asyncio.sleep(every_s)
        if is_mine():
            await _sweep(connection, states)


async def _sweep(connection: Connection, states: RunStates) -> None:
    try:
        swept = await Janitor(connection, deployed_chunks(connection)).sweep(states.over)
    except JetfleetError as error:
        log.warning("the object store cannot be swept; it is tried again", code=error.code, reason=str(error))
    except Exception:
        log.exception("a defect of jetfleet: the object store cannot be swept; it is tried again")
    else:
        if swept.deleted or swept.strays:
            log.info("objects that no run needs were deleted", objects=swept.deleted, remains_of_uploads=swept.strays)

"""An attempt: node code is called with a decoded value, and whatever happens becomes an outcome.

The same steps everywhere (event loop, thread, process): decode, call, encode. Nothing that node code raises gets past here but the
cancellation of the attempt itself. Not even KeyboardInterrupt: a real Ctrl-C reaches the program through its event loop.
"""

from __future__ import annotations

import asyncio

from ..schemas.errors import NodeError
from ..schemas.payload import Payload, decode
from .context import Context
from .deadline import Deadline
from .faults import fail
from .outcome import Outcome, succeed
from .spec import Call


def perform(call: Call, ports: tuple[str, ...], payload: Payload, context: Context | None) -> Outcome:
    """Call a plain function. `context` is None for one that wants none."""
    try:
        value = decode(payload)
        result = call(value) if context is None else call(value, context)
        return succeed(result, ports, payload)
    except BaseException as error:
        return fail(error)


async def perform_async(call: Call, ports: tuple[str, ...], payload: Payload, context: Context | None, deadline: Deadline) -> Outcome:
    """Await an async function, cancelling it at its deadline. Raises CancelledError if the attempt is cancelled from outside."""
    try:
        with deadline:
            value = decode(payload)
            result = await (call(value) if context is None else call(value, context))
            return succeed(result, ports, payload)
    except BaseException as error:
        if _cancelled_from_outside(error):
            raise
        return timed_out(deadline.timeout_ms) if deadline.expired else fail(error)


def timed_out(timeout_ms: int) -> Outcome:
    return fail(NodeError(f"the node did not end within {timeout_ms} ms", type="timeout"))


def _cancelled_from_outside(error: BaseException) -> bool:
    """Node code may meet a CancelledError of a task of its own: that is its failure, not our end."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0

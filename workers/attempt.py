"""An attempt: node code is called with a value, and whatever happens becomes an outcome.

The same steps everywhere (event loop, thread, process): take the value, call, give back what came of it. Nothing that node code raises gets
past here but the cancellation of the attempt itself. Not even KeyboardInterrupt: a real Ctrl-C reaches the program through its event loop.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ..schemas.errors import NodeError
from ..schemas.payload_errors import ArenaFull
from ..schemas.ref import ValueElsewhere, may_hold_ref
from .context import Context
from .deadline import Deadline
from .faults import fail
from .handover import NO_FILES, Handover
from .outcome import Outcome, chosen, succeed
from .spec import Bound
from .streams import async_chunks_of
from .threads import Threads


def perform(bound: Bound, handover: Handover, context: Context | None, *, wait: bool) -> Outcome:
    """Call a plain function. `context` is None for one that wants none. `wait`: here is time to wait for room in the arena.

    Without it raises ArenaFull, and nothing else.
    """
    try:
        if not bound.spec.raw and not may_hold_ref(handover.given):
            return succeed(_call(bound, handover.take(), context), bound.spec.ports, handover, wait=wait)
        with handover.files():
            return succeed(_called(bound, handover, context), bound.spec.ports, handover, wait=wait)
    except ArenaFull as error:
        if not wait:
            raise
        return fail(error)
    except BaseException as error:
        return fail(error)


async def perform_async(bound: Bound, handover: Handover, context: Context | None, deadline: Deadline, threads: Threads) -> Outcome:
    """Await an async function, cancelling it at its deadline. Raises CancelledError if the attempt is cancelled from outside."""
    try:
        with deadline, handover.files() if bound.spec.raw or may_hold_ref(handover.given) else NO_FILES:
            value = await threads.run(handover.take) if handover.is_slow else handover.take()
            result = _call(bound, value, context)
            chunks = async_chunks_of(result)
            result = await result if chunks is None else await handover.streamed(chunks, threads)
            if not handover.is_heavy(chosen(result, bound.spec.ports)[1]):
                try:
                    return succeed(result, bound.spec.ports, handover, wait=False)
                except ArenaFull:
                    pass  # a thread can wait for room
            return await threads.run(partial(succeed, result, bound.spec.ports, handover, wait=True))
    except BaseException as error:
        if _cancelled_from_outside(error):
            raise
        return timed_out(deadline.timeout_ms) if deadline.expired else fail(error)


def timed_out(timeout_ms: int) -> Outcome:
    return fail(NodeError(f"the node did not end within {timeout_ms} ms", type="timeout"))


def _called(bound: Bound, handover: Handover, context: Context | None) -> Any:
    """What the node returns. One that only moves values about gets refs as they are, until it has to look into one."""
    if bound.spec.moves and handover.refs:
        try:
            return _call(bound, handover.take_unread(), context)
        except ValueElsewhere:
            pass
    return _call(bound, handover.take(), context)


def _call(bound: Bound, value: Any, context: Context | None) -> Any:
    return bound.call(value) if context is None else bound.call(value, context)


def _cancelled_from_outside(error: BaseException) -> bool:
    """Node code may meet a CancelledError of a task of its own: that is its failure, not our end."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0

"""Faults: what a failure is called. One table from exceptions to the error types that retry policies and handlers match on.

    NodeError (Permanent, Retry)   whatever it says itself
    PayloadError                   whatever it says itself; what is lost names its producers
    a class in TABLE               the word in the table
    anything else                  the name of the exception's class, retryable

The message is short enough for a status line. A traceback goes to `details.traceback`: the last frames of the node's own code,
bounded, so that an endless recursion does not make an endless record.
"""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from ..schemas import payload
from ..schemas.errors import NodeError, SelectorError, UnencodableValue, UnreadablePayload
from ..schemas.payload_errors import PayloadError, PayloadLost
from ..schemas.records import Error
from .outcome import Outcome

MESSAGE_CHARACTERS_MAX = 500
TRACEBACK_FRAMES_MAX = 8

TABLE: tuple[tuple[type[BaseException], str, bool], ...] = (
    (TimeoutError, "timeout", True),
    (asyncio.CancelledError, "cancelled", True),
    (RecursionError, "recursion", False),
    (MemoryError, "out_of_memory", True),
    (UnencodableValue, "unencodable", False),
    (UnreadablePayload, "unreadable_payload", False),
    (SelectorError, "invalid_path", False),
    (SystemExit, "exit", False),
)
"""(class, type, retryable); the first class that fits counts."""

_OURS = tuple(str(Path(module).resolve().parent) for module in (__file__, payload.__file__))


def fail(error: BaseException) -> Outcome:
    """The outcome of an attempt that ended by this exception."""
    error = _innermost(error)
    after = error.after if isinstance(error, NodeError) else None
    return Outcome(error=describe(error), retry_after_ms=None if after is None else max(round(after * 1_000), 0))


def describe(error: BaseException) -> Error:
    """The exception as an error value."""
    if isinstance(error, NodeError):
        return Error(error.type, _message(error), error.retryable, details=_encodable(error.details))
    if isinstance(error, PayloadError):
        return Error(error.type, _message(error), error.retryable, details=_producers(error) if isinstance(error, PayloadLost) else None)
    for kind, type, retryable in TABLE:
        if isinstance(error, kind):
            return Error(type, _message(error), retryable, details=_details(error))
    return Error(error.__class__.__name__, _message(error), True, details=_details(error))


def _producers(error: PayloadLost) -> dict[str, Any]:
    """Who could make again what is lost."""
    found = {(ref.run, ref.activation, ref.again) for ref in error.refs}
    return {
        "producers": [{"run": run, "activation": list(activation), "again": again} for run, activation, again in sorted(found, key=repr)]
    }


def _innermost(error: BaseException) -> BaseException:
    """A group of one exception, as task groups raise it, says nothing that its one member does not."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _message(error: BaseException) -> str:
    try:
        text = str(error) or error.__class__.__name__
    except BaseException as second:  # an exception's text is node code too
        text = f"{error.__class__.__name__} (its text cannot be shown: {second.__class__.__name__})"
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def _encodable(details: Any) -> Any:
    """Details travel in the record: what has no bytes is shown as text instead of failing a second time."""
    try:
        payload.encode(details)
    except UnencodableValue:
        return _shown(details)
    return details


def _shown(details: Any) -> str:
    try:
        return repr(details)[:MESSAGE_CHARACTERS_MAX]
    except BaseException:
        return type(details).__name__


def _details(error: BaseException) -> dict[str, Any] | None:
    lines = _frames(error.__traceback__)
    return {"traceback": lines} if lines else None


def _frames(trace: TracebackType | None) -> list[str]:
    frames = [frame for frame in traceback.extract_tb(trace, limit=-TRACEBACK_FRAMES_MAX) if not frame.filename.startswith(_OURS)]
    return [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line or ''}".rstrip(": ") for frame in frames]

"""Outcome: how the execution of a node ended, as bytes and plain words, ready to be reported from any thread or process.

Node code returns a value, or `Out(port, value)` to leave by a port of its choice. `succeed` turns that into an
outcome; failures are described in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..schemas.errors import Permanent
from ..schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from ..schemas.payload import NULL, Payload
from ..schemas.records import Error

if TYPE_CHECKING:
    from .handover import Handover

PORT_DEFAULT = "out"


@dataclass(frozen=True, slots=True)
class Out:
    """Returned by a node that chooses its port: `return Out("rejected", order)`."""

    port: str
    value: Any = None


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED: Final = _Unchanged.UNCHANGED
"""Returned by a node whose output is its input: the same bytes go on, nothing is encoded."""


class Outcome(msgspec.Struct):
    """`error` set: the attempt failed, and `port` and `output` mean nothing. `retry_after_ms` is the node's own wish."""

    port: str = PORT_DEFAULT
    output: Payload = NULL
    error: Error | None = None
    retry_after_ms: int | None = None


def succeed(result: Any, ports: tuple[str, ...], handover: Handover, *, wait: bool) -> Outcome:
    """The outcome of a node with these ports that returned `result`. Raises what `Handover.give` and `chosen` raise."""
    port, value = chosen(result, ports)
    if value is UNCHANGED and len(handover.given) <= PAYLOAD_INLINE_MAX_BYTES:
        return Outcome(port, handover.given)
    return Outcome(port, handover.give(handover.take() if value is UNCHANGED else value, wait=wait))


def chosen(result: Any, ports: tuple[str, ...]) -> tuple[str, Any]:
    """Port and value of what a node returned. Raises Permanent (`unknown_port`) if it chose a port that it did not declare."""
    if type(result) is not Out:
        return ports[0], result
    if result.port not in ports:
        raise Permanent(f"the node left by port `{result.port}`, but declares only: {', '.join(ports)}", type="unknown_port")
    return result.port, result.value

"""W3C trace context: reading and writing a `traceparent`, and the ids that a run derives from its own id.

    publisher's span ──▶ run's span ──▶ spans of its attempts

The run's span has an id that follows from the run's id alone, so that a coordinator, which writes that span when the run has ended, and
workers, which long before wrote spans below it, agree without talking. A run whose event brought no trace begins one, with an id derived
likewise.

Pure functions; strict as the recommendation is (level 2), and nothing that is no traceparent makes them raise: it counts as none.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

SAMPLED, RANDOM = 0x01, 0x02
_KNOWN_FLAGS = SAMPLED | RANDOM
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class TraceParent(NamedTuple):
    """`trace_id`: 128 bits, `span_id`: 64 bits, neither of them 0. `flags`: those that this version knows."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    def __str__(self) -> str:
        """As the header wants it, in version 00."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags & _KNOWN_FLAGS:02x}"


def parse(text: object) -> TraceParent | None:
    """What a header says; None for anything that is no traceparent. Of a later version the part that this one has."""
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), int(flags, 16) & _KNOWN_FLAGS)
    return parent if parent.trace_id and parent.span_id else None


def run_span(run_id: str, traceparent: str, sampled: bool = True) -> TraceParent:
    """The run's own span: in the publisher's trace if `traceparent` is one, else at the root of the run's own trace.

    `sampled` holds for the latter only: in the publisher's trace the publisher has decided.
    """
    publisher = parse(traceparent)
    span_id = _derived("span", run_id, 8)
    if publisher is None:
        return TraceParent(_derived("trace", run_id, 16), span_id, RANDOM | (SAMPLED if sampled else 0))
    return TraceParent(publisher.trace_id, span_id, publisher.flags)


def _derived(what: str, run_id: str, size_bytes: int) -> int:
    """Never 0, which would mean: none."""
    return int.from_bytes(sha256(f"jetfleet {what} {run_id}".encode("utf-8", "surrogatepass")).digest()[:size_bytes]) or 1

"""Words: what a run waits for, in those of a person who wants to know why nothing happens."""

from __future__ import annotations

from ..engine import Blocked

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def in_words(blocked: Blocked, now_ms: int) -> str:
    """One reason, such as `manager waits for the approval order-7, for 59 min 58 s at most`."""
    left = "" if blocked.due is None else span(max(blocked.due - now_ms, 0))
    node, detail = blocked.node, blocked.detail
    match blocked.reason:
        case "approval" | "signal" | "event":
            return f"{node} waits for the {blocked.reason} {detail}" + (f", for {left} at most" if left else "")
        case "timer":
            return f"{node} waits for {left}"
        case "retry" | "scope_retry":
            return f"{node} is tried again in {left}: {detail}"
        case "payload":
            return f"{node} waits for a payload {detail}"
        case "room":
            return f"{node} waits for room {detail}"
        case "child":
            return f"{node} waits for the run {detail}"
        case "task":
            return f"{node} is at work"
        case "limit":
            return f"{node} waits for its place at limit {detail}" + (f", for {left}" if left else "")
        case _:
            return f"{node} is {blocked.reason} {detail}"


def span(ms: int) -> str:
    """A time span to read, in its largest unit and the next smaller one: `1 h 30 min`, `2 s 50 ms`, `3 min`, `0 ms`."""
    for (unit, size), (next_unit, next_size) in zip(_UNITS, (*_UNITS[1:], ("ms", 1)), strict=True):
        if ms >= size:
            rest = ms % size // next_size
            return f"{ms // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{ms} ms"

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
        case "child":
            return f"{node} waits for the run {detail}"
        case "task":
            return f"{node} is at work"
        case _:
            return f"{node} is {blocked.reason} {detail}"


def span(ms: int) -> str:
    """A time span to read, in its two largest units: `1 h 30 min`, `2 s 50 ms`, `0 ms`."""
    parts = []
    for unit, size in _UNITS:
        if ms >= size:
            parts.append(f"{ms // size} {unit}")
            ms %= size
    if ms or not parts:
        parts.append(f"{ms} ms")
    return " ".join(parts[:2])

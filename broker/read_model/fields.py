"""Fields: what runs can be filtered and ordered by, and how a person writes the values.

    id flow version digest status trigger parent source    texts
    error                                           its type and its message
    started ended                                   a time: `-1h` (before now), `2026-03-01`, `2026-03-01T08:30`, ms since the epoch
    duration                                        `250ms`, `5s`, `2m`, `1h`, `1d`; of a run that has ended
    records partition                               a number

A column name comes from here and from nowhere else; what a person wrote only ever becomes a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
ENDED = ("completed", "failed", "cancelled", "killed")
OPEN = ("running", "paused")
INTEGER_MAX = 2**63 - 1

_DURATION = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?(ms|s|m|h|d)")
_INTEGER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Field:
    """`columns`: any of them may match. `read`: a person's text (and now, in ms) to a parameter; raises ValueError with the reason."""

    columns: tuple[str, ...]
    read: Callable[[str, int], str | int]
    text: bool = True


def duration_ms(text: str) -> int:
    """`1.5h` in milliseconds. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration; write e.g. 250ms, 5s, 2m, 1h or 1d")
    whole, fraction, unit = found.groups()
    value = int(whole) * UNITS_MS[unit]
    if fraction:
        value += int(fraction) * UNITS_MS[unit] // 10 ** len(fraction)
    return _bounded(value, text)


def time_ms(text: str, now_ms: int) -> int:
    """A time as ms since the epoch. Raises ValueError."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if text.startswith("-"):
        return now_ms - duration_ms(text[1:])
    try:
        when = datetime.fromisoformat(text)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write e.g. -1h, 2026-03-01, 2026-03-01T08:30 (UTC) or ms since the epoch") from None


def _status(text: str, now_ms: int) -> str:
    if text not in (*ENDED, *OPEN, "open", "ended"):
        raise ValueError(f"no run has the status {text!r}; there are: {', '.join((*OPEN, *ENDED))}, and open or ended for all of a kind")
    return text


def _number(text: str, now_ms: int) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _bounded(value: int, text: str) -> int:
    if value > INTEGER_MAX // 2:
        raise ValueError(f"{text!r} is longer than can be counted")
    return value


def _as_it_is(text: str, now_ms: int) -> str:
    return text


FIELDS: dict[str, Field] = {
    "id": Field(("id",), _as_it_is),
    "flow": Field(("flow",), _as_it_is),
    "version": Field(("version",), _as_it_is),
    "digest": Field(("digest",), _as_it_is),
    "status": Field(("status",), _status),
    "trigger": Field(("trigger",), _as_it_is),
    "parent": Field(("parent",), _as_it_is),
    "source": Field(("source",), _as_it_is),
    "error": Field(("error_type", "error_message"), _as_it_is),
    "started": Field(("started_at",), time_ms, text=False),
    "ended": Field(("ended_at",), time_ms, text=False),
    "duration": Field(("duration_ms",), lambda text, now_ms: duration_ms(text), text=False),
    "records": Field(("records",), _number, text=False),
    "partition": Field(("partition",), _number, text=False),
}

ORDERS = {"started": "started_at", "ended": "ended_at", "duration": "duration_ms"}
"""What lists can be ordered by; a `-` before it turns the order round."""

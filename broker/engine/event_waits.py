"""Event waits: which events a run waits for, and whether one of them would reach it.

An event that is for whoever waits for it concerns the runs that have a matching wait at that moment, and no other: a run that waits for an
event of that name with other fields does not learn of it. One whose fields nobody here can read concerns every run that correlates by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ...schemas.payload import Payload
from ...schemas.ref import ValueElsewhere
from ...schemas.selectors import parse_path
from ...schemas.values import get, to_text
from .answers import decoded
from .state import Run, Wait

Correlation: TypeAlias = tuple[tuple[str, str], ...]
"""Paths in an event's payload with the texts that they must have; empty: any event of that name."""


def event_waits(run: Run) -> list[tuple[str, Correlation]]:
    """The name and correlation of every wait for an event."""
    rare = run.rare_
    names = [] if rare is None else [name for kind, name in rare.awaiting if kind == "event"]
    return [(name, wait.correlate) for name in names for wait in _waits(run, name)]


def awaits(run: Run, event: str, correlation: Correlation) -> bool:
    """Whether any activation of the run has exactly this wait."""
    return any(wait.correlate == correlation for wait in _waits(run, event))


def hears(run: Run, event: str, payload: Payload) -> bool:
    """Whether an event that is for whoever waits for it concerns this run."""
    return any(_may_match(payload, wait) for wait in _waits(run, event))


def matches(payload: Payload, wait: Wait) -> bool:
    """Whether the event fits the wait. Raises ValueElsewhere if its fields cannot be read here."""
    if not wait.correlate:
        return True
    value = decoded(payload)
    return all(to_text(get(value, parse_path(path))) == wanted for path, wanted in wait.correlate)


def texts_at(payload: Payload, paths: Iterable[str]) -> tuple[str | None, ...]:
    """What an event has at these paths, as it is compared. Raises ValueElsewhere, SelectorError."""
    value = decoded(payload)
    return tuple(to_text(get(value, parse_path(path))) for path in paths)


def _may_match(payload: Payload, wait: Wait) -> bool:
    try:
        return matches(payload, wait)
    except ValueElsewhere:
        return True


def _waits(run: Run, event: str) -> Iterable[Wait]:
    rare = run.rare_
    for address in () if rare is None else rare.awaiting.get(("event", event), ()):
        found = run.find(address)
        waits = None if found is None or found[0].more is None else found[0].more.waits
        if found is not None and waits and found[1].slot in waits:
            yield waits[found[1].slot]

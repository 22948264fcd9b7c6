"""What a check gives: complaints in words, or that it cannot know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..evidence import Evidence


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The evidence lacks what the check would look at. This is no complaint, and it is no pass either."""

    missing: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """`invariant`: `I1` … `I15`."""

    invariant: str
    words: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.words}"


Finding = list[str] | NotKnown
Check = Callable[[Evidence], Finding]


def unless_missing(complaints: list[str], missing: Sequence[str]) -> Finding:
    """The complaints; without any, that not everything could be looked at."""
    return NotKnown("; ".join(missing)) if missing and not complaints else complaints


def untold(runs: dict[str, str]) -> list[str]:
    """What is missing where some runs could not be told anew."""
    if not runs:
        return []
    run, reason = next(iter(runs.items()))
    return [f"{len(runs)} runs cannot be told anew, such as {run}: {reason}"]

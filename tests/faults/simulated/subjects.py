"""Subjects: which patterns they match, and who listens to them.

Guarantees what the server's own matching does, for any subject: `*` is one word, `>` is one or more at the end. Does not check that a
subject or pattern is one that the server would take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

Matcher = Callable[[str], object]


@lru_cache(maxsize=65_536)
def matcher(pattern: str) -> Matcher:
    """A function that is true of the subjects that match."""
    if pattern == ">":
        return bool
    if "*" in pattern.split("."):
        words = [{"*": r"[^.]+", ">": r".+"}.get(word, re.escape(word)) for word in pattern.split(".")]
        return re.compile(r"\.".join(words)).fullmatch
    if pattern.endswith(".>"):
        prefix = pattern[:-1]
        return lambda subject: subject.startswith(prefix) and len(subject) > len(prefix)
    return pattern.__eq__


def is_literal(pattern: str) -> bool:
    return not (pattern == ">" or pattern.endswith(".>") or "*" in pattern.split("."))


def overlap(one: str, other: str) -> bool:
    """Whether there is a subject that matches both."""
    ones, others = one.split("."), other.split(".")
    for left, right in zip(ones, others, strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(ones) == len(others)


def is_subset(one: str, other: str) -> bool:
    """Whether all that matches the one matches the other."""
    ones, others = one.split("."), other.split(".")
    for place, right in enumerate(others):
        if right == ">":
            return len(ones) > place
        if place >= len(ones) or ones[place] == ">" or (right != "*" and (ones[place] == "*" or ones[place] != right)):
            return False
    return len(ones) == len(others)


class Reach(Enum):
    """How much of what a consumer gives a purge may have taken."""

    NOTHING, SOME, ALL = range(3)


def reach_of(filters: Sequence[str], purged: str) -> Reach:
    """`purged`: a pattern; "" for everything. A purge that only touches a filter at its edge counts as nothing, as with the real server."""
    if not purged:
        return Reach.ALL
    covered = [is_subset(each, purged) for each in filters]
    if any(covered):
        return Reach.ALL if all(covered) else Reach.SOME
    return Reach.SOME if not filters or any(is_subset(purged, each) for each in filters) else Reach.NOTHING


class Listener(Protocol):
    """Somebody who listens. `queue`: "" or the group of which one is told."""

    subject: str
    queue: str


L = TypeVar("L", bound=Listener)


class Interest(Generic[L]):
    """Who listens to which subject. Inboxes (`<literal>.*`) and literal subjects are found at once, however many there are."""

    def __init__(self) -> None:
        self._literal: dict[str, dict[L, None]] = {}
        self._children: dict[str, dict[L, None]] = {}
        self._others: dict[L, Matcher] = {}

    def add(self, listener: L) -> None:
        place = self._place(listener.subject)
        if place is None:
            self._others[listener] = matcher(listener.subject)
        else:
            table, key = place
            table.setdefault(key, {})[listener] = None

    def remove(self, listener: L) -> None:
        place = self._place(listener.subject)
        if place is None:
            self._others.pop(listener, None)
            return
        table, key = place
        if key in table:
            table[key].pop(listener, None)
            if not table[key]:
                del table[key]

    def match(self, subject: str) -> list[L]:
        return list(self._matching(subject))

    def has(self, subject: str) -> bool:
        return next(self._matching(subject), None) is not None

    def _matching(self, subject: str) -> Iterator[L]:
        yield from self._literal.get(subject, ())
        yield from self._children.get(subject.rpartition(".")[0], ())
        for listener, matches in self._others.items():
            if matches(subject):
                yield listener

    def _place(self, subject: str) -> tuple[dict[str, dict[L, None]], str] | None:
        if is_literal(subject):
            return self._literal, subject
        parent, _, last = subject.rpartition(".")
        return (self._children, parent) if last == "*" and parent and is_literal(parent) else None


def any_of(patterns: Iterable[str]) -> Matcher:
    """True of what matches one of the patterns; of everything, if there are none."""
    matchers = [matcher(pattern) for pattern in patterns]
    if not matchers:
        return bool
    if len(matchers) == 1:
        return matchers[0]
    return lambda subject: any(matches(subject) for matches in matchers)

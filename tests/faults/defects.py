"""A defect: one small patch of the real code, the play on which it shows, and the invariants whose checkers must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from .plays import Play

EVERY = 4
"""What happens now and then happens to each such event: a play has no thousand of them."""


@dataclass(frozen=True)
class Defect:
    """`name`: what is wrong, as a sentence about the code. `seen_by`: the invariants that must complain, at least one of them."""

    name: str
    broken: Callable[[], AbstractContextManager[None]]
    play: Play
    seen_by: frozenset[str]


DEFECTS: list[Defect] = []


def defect(play: Play, *seen_by: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], AbstractContextManager[None]]]:
    def note(patch: Callable[[], Iterator[None]]) -> Callable[[], AbstractContextManager[None]]:
        broken = contextmanager(patch)
        DEFECTS.append(Defect(patch.__name__, broken, play, frozenset(seen_by)))
        return broken

    return note


@contextmanager
def patched(holder: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """`make` gets what is there and gives what stands in its place."""
    whole = holder.__dict__[name] if isinstance(holder, type) else getattr(holder, name)
    setattr(holder, name, make(whole))
    try:
        yield
    finally:
        setattr(holder, name, whole)


def now_and_then() -> Callable[[], bool]:
    numbers = count(1)
    return lambda: next(numbers) % EVERY == 0

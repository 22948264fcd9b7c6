"""A target: a decoder, valid inputs that cases are made of, and the errors that may escape it.

Whatever else escapes is a defect: a process that reads it would die of it, or say something that nobody can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from .mutations import mutated


@dataclass(frozen=True)
class Target:
    """`read` takes the bytes as they come from outside. `seeds` gives inputs that it accepts."""

    name: str
    read: Callable[[bytes], Any]
    seeds: Callable[[], Sequence[bytes]]
    errors: tuple[type[Exception], ...]

    @cached_property
    def corpus(self) -> Sequence[bytes]:
        return tuple(self.seeds())

    def case(self, seed: int) -> bytes:
        """The case of that number, always the same."""
        return mutated(self.corpus, Random(f"{self.name} {seed}"))

    def accepts(self, data: bytes) -> bool:
        """Whether it reads the bytes; False for one of its errors. Any other error is a defect, and is raised."""
        try:
            self.read(data)
        except self.errors:
            return False
        return True


def text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A reader of texts as one of bytes: what is no UTF-8 comes as Python hands over arguments of the command line."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))

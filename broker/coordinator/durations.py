"""How long attempts of a node type take, as their completions tell: so that tiny tasks share a message and a long one travels alone."""

from __future__ import annotations

FIRST_GUESS_US = 500
"""Of a type that has not completed yet. Ten of these fill a message: neither a flood of messages nor much to wait for behind a slow one."""
BATCH_US = 5_000
"""What the tasks of one message may take together: less than a person notices, more than handling the message costs."""
WEIGHT = 0.2
"""Of the latest attempt in the running mean (exponentially weighted, as in TCP's round-trip estimate)."""


class Durations:
    """A running mean per node type, in microseconds."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def note(self, type: str, took_us: int) -> None:
        mean = self._means.get(type)
        self._means[type] = took_us if mean is None else mean + WEIGHT * (took_us - mean)

    def expected_us(self, type: str) -> int:
        return int(self._means.get(type, FIRST_GUESS_US)) + 1

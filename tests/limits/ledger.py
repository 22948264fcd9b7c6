"""The ledger: what the nodes of these tests wrote about their executions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


class Ledger:
    """`path` is handed to the nodes as `log`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger"

    def lines(self) -> list[list[str]]:
        return [line.split(" ") for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def begun(self, key: str | None = None) -> list[str]:
        """The runs, in the order in which their executions began."""
        return [line[2] for line in self.lines() if line[0] == "in" and key in (None, line[1])]

    def keys_begun(self) -> list[str]:
        return [line[1] for line in self.lines() if line[0] == "in"]

    def inside(self) -> int:
        """How many are at work now."""
        return sum(1 if line[0] == "in" else -1 for line in self.lines())

    def most(self) -> dict[str, int]:
        """By key: how many were at work at the same time, at most."""
        now: Counter[str] = Counter()
        most: Counter[str] = Counter()
        for word, key, *_ in self.lines():
            now[key] += 1 if word == "in" else -1
            most[key] = max(most[key], now[key])
        return dict(most)

    def most_at_all(self) -> int:
        """How many were at work at the same time, whatever their key."""
        now = most = 0
        for word, *_ in self.lines():
            now += 1 if word == "in" else -1
            most = max(most, now)
        return most

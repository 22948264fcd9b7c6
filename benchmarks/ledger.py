"""The ledger: every execution of a node, as the node itself wrote it down, outside the system that is measured (nodes.py).

Compared with when completions were on disk it says what was executed more than once, and what should not have been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""Run and activation, the latter as its steps with points between them."""


@dataclass(frozen=True, slots=True)
class Execution:
    """`at_ns`: when it began, by the wall clock."""

    run: str
    activation: str
    attempt: int
    pid: int
    at_ns: int

    @property
    def key(self) -> Key:
        return self.run, self.activation


def read(ledger: Path) -> list[Execution]:
    """All executions, in the order in which they began. A last line that was cut off is left out."""
    if not ledger.exists():
        return []
    lines = ledger.read_text().split("\n")[:-1]
    rows = (line.split(" ") for line in lines)
    return [Execution(run, activation, int(attempt), int(pid), int(at)) for run, activation, attempt, pid, at in rows]


def duplicates(executions: Iterable[Execution]) -> int:
    """How many executions there were beyond the first of each activation: at least once is what is promised."""
    return sum(count - 1 for count in Counter(execution.key for execution in executions).values())


def reexecuted(executions: Iterable[Execution], durable_ns: Mapping[Key, int]) -> int:
    """How many executions began although a completion of the activation was on disk: it is promised that there are none."""
    return sum(execution.at_ns > durable_ns.get(execution.key, execution.at_ns) for execution in executions)

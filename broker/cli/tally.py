"""A tally: what has come of many runs, in a few lines at the end."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from ...schemas.records import Error
from .printing import printable

ERRORS_SHOWN = 5


@dataclass(slots=True)
class Tally:
    """What has come of the lines so far. `took_s` are the runs' durations, in the order of their ends; `attempts` those of their nodes."""

    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)  # by error
    refused: int = 0
    took_s: array[float] = field(default_factory=lambda: array("d"))
    attempts: int = 0

    @property
    def clean(self) -> bool:
        return self.refused == 0 and set(self.statuses) <= {"completed"}

    def add(self, line: int, status: str, error: Error | None, took_s: float, attempts: int = 0) -> None:
        self.statuses[status] += 1
        self.took_s.append(took_s)
        self.attempts += attempts
        if error is not None:
            what = f"{error.node or 'run'}: {error.type}: {error.message}"
            self.errors[what] += 1
            self.first_lines[what] = min(line, self.first_lines.get(what, line))

    def show(self, took_s: float) -> None:
        """Print the summary to standard error. `took_s`: what all of it took."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for name, value in self._figures(took_s):
            table.add_row(name, value)
        console = Console(stderr=True, highlight=False)
        console.print(table)
        for error, count in self.errors.most_common(ERRORS_SHOWN):
            where = "line" if count == 1 else "first in line"
            console.print(f"{count} × {printable(error)} ({where} {self.first_lines[error]})", markup=False, style="red", soft_wrap=True)

    def _figures(self, took_s: float) -> Iterator[tuple[str, str]]:
        for status, count in sorted(self.statuses.items()):
            yield status, f"{count:,}"
        if self.refused:
            yield "refused", f"{self.refused:,}"
        took = sorted(self.took_s)
        if took:
            yield "p50", f"{took[len(took) // 2] * 1e3:.2f} ms"
            yield "p99", f"{took[min(int(len(took) * 0.99), len(took) - 1)] * 1e3:.2f} ms"
            if self.attempts:
                yield "nodes/s", f"{self.attempts / took_s:,.0f}"
            yield "runs/s", f"{len(took) / took_s:,.0f}"

"""The outcome of a scenario: what was injected, what came of it, and what the checkers say. As a row of a table and as JSON.

A scenario in which nothing went wrong proves nothing: without one injected fault an outcome is not ok, unless it is the control.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from typing import Any

from .evidence import Evidence
from .invariants import duplicates, judge, late_executions, lost, stuck
from .replay import replay

COLUMNS = (
    "scenario", "n", "faults", "acked", "runs", "lost", "stuck", "executed twice", "after record", "unknown", "recovery p50 / p99 / max", "seconds",
    "result",
)  # fmt: skip
HEAD = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


@dataclass
class Outcome:
    """`n`: how often the scenario's fault was to be injected. `faults`: how often each kind was.

    `duplicates`: executions of an activation's attempt beyond the first. `reexecuted`: executions that began behind their recorded end.
    `recovery_s`: from when a fault was over to the next progress. `control`: nothing is injected on purpose.
    """

    name: str
    n: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    acked: int = 0
    runs: int = 0
    ended: int = 0
    lost: int = 0
    stuck: int = 0
    duplicates: int = 0
    reexecuted: int = 0
    unknown: int = 0
    resolved: Counter[str] = field(default_factory=Counter)
    zombie_writes: int = 0
    recovery_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    not_known: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    control: bool = False

    @classmethod
    def of(cls, name: str, evidence: Evidence, **more: Any) -> Outcome:
        """What the checkers make of the evidence. `more`: the fields that only the scenario knows."""
        account, verdict, late = evidence.account, judge(evidence), late_executions(evidence)
        excepted = [each.moment_ms for each in late if each.excepted]
        found = cls(
            name,
            faults=Counter(fault.kind for fault in account.faults),
            acked=len(account.runs),
            runs=len(replay(evidence).stories),
            ended=len(evidence.ends),
            lost=len(lost(evidence)),
            stuck=len(stuck(evidence)),
            duplicates=duplicates(evidence),
            reexecuted=len(late) - len(excepted),
            unknown=len({fact.key for fact in account.unknown}),
            resolved=Counter(fact.how for fact in account.resolved),
            recovery_s=account.recovery_s(),
            complaints=[str(complaint) for complaint in verdict.complaints],
            not_known=verdict.not_known,
            notes=[f"{len(excepted)} executions began in the documented moment behind their record, at most {max(excepted):.0f} ms"]
            if excepted
            else [],
        )
        return replace(found, **more)

    @property
    def ok(self) -> bool:
        return not self.complaints and (self.control or self.faults.total() > 0)

    @property
    def verdict(self) -> str:
        """In words; of a failure, the first reason."""
        if self.ok:
            return "ok"
        if self.complaints:
            more = f" (and {len(self.complaints) - 1} more)" if len(self.complaints) > 1 else ""
            return f"FAILED: {self.complaints[0]}{more}"
        return "FAILED: no fault was injected"

    def row(self) -> str:
        """One row under HEAD."""
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "none"
        unknown = f"{self.unknown:,}" + "".join(f", {count:,} {how}" for how, count in sorted(self.resolved.items()))
        cells = [
            f"`{self.name}`", f"{self.n:,}", faults, f"{self.acked:,}", f"{self.runs:,}", f"{self.lost:,}", f"{self.stuck:,}",
            f"{self.duplicates:,}", f"{self.reexecuted:,}", unknown, self._recovery(), f"{self.seconds:.0f}",
            self.verdict.replace("|", "\\|").replace("\n", " "),
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"

    def json(self) -> str:
        # `asdict` makes a Counter of a Counter's items: a count of pairs.
        data: dict[str, Any] = {**asdict(self), "faults": dict(self.faults), "resolved": dict(self.resolved)}
        return json.dumps({**data, "ok": self.ok, "recovery": self._recovery()}, sort_keys=True)

    def _recovery(self) -> str:
        if not self.recovery_s:
            return "–"
        ordered = sorted(self.recovery_s)
        times = [ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.99, 1)]
        return f"{' / '.join(f'{seconds:.2f}' for seconds in times)} s (n = {len(ordered)})"

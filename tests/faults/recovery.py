"""How long a fault was felt: from when it was injected until what it affected went on, and until all of that was over.

    a worker           the activations that it had begun and not recorded: the first, and the last, that is recorded
    a coordinator      the acknowledged runs in its partitions that had not ended: the first, and the last, that ends
    the server         the same of all partitions
    others             nothing that they do holds up a run

The time that somebody stayed dead, before it was started again, is counted. A fault that affected nothing has no times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from jetfleet.schemas import subjects
from jetfleet.schemas.records import Completion

from .evidence import Evidence
from .watcher import End
from .world import COORDINATOR, SERVER, WORKER, Strike, role_of

NS = 1e9


@dataclass(frozen=True, slots=True)
class Recovery:
    """`alone`: nothing else that matters was struck between the fault and the first progress."""

    strike: Strike
    first_s: float
    all_s: float
    alone: bool


def recoveries(strikes: Sequence[Strike], evidence: Evidence, ends: Mapping[str, End], partitions: int) -> list[Recovery]:
    """Of the strikes that affected something."""
    spans = _Spans(evidence, ends, partitions)
    serious = [strike.at_ns for strike in strikes if role_of(strike.name) in (SERVER, COORDINATOR, WORKER)]
    found = []
    for strike in strikes:
        if at := spans.affected(strike):
            alone = not any(strike.at_ns < other < min(at) for other in serious)
            found.append(Recovery(strike, (min(at) - strike.at_ns) / NS, (max(at) - strike.at_ns) / NS, alone))
    return found


class _Spans:
    """When things began and when they were over."""

    def __init__(self, evidence: Evidence, ends: Mapping[str, End], partitions: int) -> None:
        recorded: dict[tuple[str, str], int] = {}
        for entry in evidence.entries:
            if type(entry.record) is Completion:
                recorded.setdefault((entry.record.run, ".".join(map(str, entry.record.activation))), entry.at_ns)
        self.executions: dict[str, list[tuple[int, int]]] = {}
        for effect in evidence.account.effects:
            if (over := recorded.get((effect.run, effect.activation))) is not None:
                self.executions.setdefault(effect.worker, []).append((effect.at_ns, over))
        self.runs: list[tuple[int, int, int]] = [
            (subjects.partition_of(fact.run, partitions), fact.at_ns, ends[fact.run].at_ns)
            for fact in evidence.account.acked
            if fact.run in ends
        ]

    def affected(self, strike: Strike) -> Sequence[int]:
        """When everything was over that was under way when the fault came."""
        role = role_of(strike.name)
        if role == WORKER:
            spans = self.executions.get(str(strike.pid), [])
        elif role == COORDINATOR:
            spans = [(begun, over) for partition, begun, over in self.runs if partition in strike.partitions]
        elif role == SERVER:
            spans = [(begun, over) for _, begun, over in self.runs]
        else:
            spans = []
        return [over for begun, over in spans if begun < strike.at_ns < over]


def percentiles(values: Sequence[float]) -> str:
    """`p50 / p99 / max`, and of how many."""
    if not values:
        return "–"
    ordered = sorted(values)
    at = [ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.99)]
    return f"{at[0]:.2f} / {at[1]:.2f} / {ordered[-1]:.2f} s (n = {len(ordered)})"

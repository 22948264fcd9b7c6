"""The judgement on one simulated seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Judgement:
    """`virtual_s`, `real_s`: how long it took there, and here. `turns`: callbacks of the loop. `digest`: of everything that the server did,
    and how each run ended. `log`: faults, and ends of processes. `trace`: what the server did, in words, if it was asked for.
    """

    seed: int
    complaints: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    acked: int = 0
    runs: int = 0
    ended: int = 0
    duplicates: int = 0
    unknown: int = 0
    recovery_s: list[float] = field(default_factory=list)
    virtual_s: float = 0.0
    real_s: float = 0.0
    turns: int = 0
    digest: str = ""
    log: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    not_known: dict[str, str] = field(default_factory=dict)

"""The ledger: what the world outside handed over and was told, kept outside of the system; and the verdict on what the system made of it.

    ledger.offered(7)                    # about to be handed over: from now on a run with this number is no surprise
    ledger.acknowledged(7, run)          # somebody was told that there will be a run
    judge(ledger, begun).complaints      # nothing, if each acknowledged thing has exactly one run

Things are known by numbers, which travel in the payloads. The functions here are total: whatever the log says, there is a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHOWN = 5
UNNUMBERED = -1
"""The number of a run whose payload has none."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A RunStarted in the WAL. `number`: the one in its payload."""

    run: str
    number: int


@dataclass(frozen=True, slots=True)
class Kill:
    """`under_way`: how many things were offered and not events yet, or not answered, when the process died."""

    victims: int
    runs: int
    under_way: int


@dataclass(slots=True)
class Ledger:
    """`told`: the run that an acknowledgement names, by number; "" where it names none."""

    handed_over: set[int] = field(default_factory=set)
    told: dict[int, str] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    retries: int = 0
    """How often something was handed over once more, since nobody had answered."""

    def offered(self, number: int) -> None:
        self.handed_over.add(number)

    def acknowledged(self, number: int, run: str = "") -> None:
        self.handed_over.add(number)
        self.told[number] = run


@dataclass(frozen=True, slots=True)
class Verdict:
    """`missing`: acknowledged, without a run. `doubled`: with several. `foreign`: runs of nothing that was handed over. `misnamed`: the run
    that somebody was told of is not the one with that number. `repeated`: runs that stand in the WAL as begun more than once."""

    acknowledged: int
    runs: int
    missing: Sequence[int]
    doubled: Sequence[int]
    foreign: Sequence[str]
    misnamed: Sequence[int]
    repeated: Sequence[str]

    @property
    def complaints(self) -> list[str]:
        names = ("missing", "doubled", "foreign", "misnamed", "repeated")
        found = {name: getattr(self, name) for name in names}
        return [f"{len(which)} {name}: {list(which[:SHOWN])}" for name, which in found.items() if which]


def judge(ledger: Ledger, begun: Iterable[Begun]) -> Verdict:
    """What became of everything, by what the WAL says."""
    begun = list(begun)
    times = Counter(each.run for each in begun)
    runs_of: dict[int, set[str]] = {}
    for each in begun:
        runs_of.setdefault(each.number, set()).add(each.run)
    return Verdict(
        acknowledged=len(ledger.told),
        runs=len(times),
        missing=sorted(ledger.told.keys() - runs_of.keys()),
        doubled=sorted(number for number, runs in runs_of.items() if len(runs) > 1),
        foreign=sorted({run for number, runs in runs_of.items() if number not in ledger.handed_over for run in runs}),
        misnamed=sorted(number for number, run in ledger.told.items() if run and number in runs_of and run not in runs_of[number]),
        repeated=sorted(run for run, count in times.items() if count > 1),
    )


def not_injected(ledger: Ledger, kills: int) -> list[str]:
    """Why what was done proves nothing: too few kills, or one that hit nobody at work."""
    few = [f"{len(ledger.kills)} kills instead of {kills}"] if len(ledger.kills) < kills else []
    idle = [place for place, kill in enumerate(ledger.kills, 1) if kill.under_way < 1 or kill.victims < 1]
    return few + [f"nothing was under way at kill {place}" for place in idle]

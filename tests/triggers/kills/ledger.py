"""The ledger: what the world outside handed over and was told, kept outside of the system; and the verdict on what the system made of it.

    ledger.offered(7)                        # about to be handed over: from now on a run with this number is no surprise
    ledger.acknowledged(7, run)              # somebody was told that there will be a run
    judge(ledger, begun, lives).complaints   # nothing, if each acknowledged thing has exactly one run

Things are known by numbers, which travel in the payloads. The functions here are total: whatever the log says, there is a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """`runs`: how many had begun. `under_way`: how many things were in the hands of the process when it died."""

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
    that somebody was told of is not the one with that number. `reborn`: runs that lived more than once, or have not ended."""

    acknowledged: int
    runs: int
    missing: Sequence[int]
    doubled: Sequence[int]
    foreign: Sequence[str]
    misnamed: Sequence[int]
    reborn: Sequence[str]

    @property
    def complaints(self) -> list[str]:
        names = ("missing", "doubled", "foreign", "misnamed", "reborn")
        found = {name: getattr(self, name) for name in names}
        return [f"{len(which)} {name}: {list(which[:SHOWN])}" for name, which in found.items() if which]


def judge(ledger: Ledger, begun: Iterable[Begun], lives: Mapping[str, int]) -> Verdict:
    """What became of everything, by what the WAL says. `lives`: how many different beginnings of a run are in the history.

    A run may stand in the WAL as begun several times: who folds the WAL takes the first one. In the history there is only that.
    """
    runs_of: dict[int, set[str]] = {}
    for each in begun:
        runs_of.setdefault(each.number, set()).add(each.run)
    runs = set().union(*runs_of.values())
    return Verdict(
        acknowledged=len(ledger.told),
        runs=len(runs),
        missing=sorted(ledger.told.keys() - runs_of.keys()),
        doubled=sorted(number for number, those in runs_of.items() if len(those) > 1),
        foreign=sorted(set().union(*(those for number, those in runs_of.items() if number not in ledger.handed_over))),
        misnamed=sorted(number for number, run in ledger.told.items() if run and number in runs_of and run not in runs_of[number]),
        reborn=sorted(run for run in runs | lives.keys() if lives.get(run, 0) != 1),
    )


def not_injected(ledger: Ledger, kills: int) -> list[str]:
    """Why what was done proves nothing: too few kills, or one that hit nobody at work."""
    few = [f"{len(ledger.kills)} kills instead of {kills}"] if len(ledger.kills) < kills else []
    idle = [place for place, kill in enumerate(ledger.kills, 1) if kill.under_way < 1]
    return few + [f"nothing was under way at kill {place}" for place in idle]

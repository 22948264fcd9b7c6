"""Fault injection with real processes.

    python -m tests.faults                                      the scenarios
    python -m tests.faults kills --n 100 --seed 7 [--json]      one of them
    python -m tests.faults all [--quick] [--markdown]           every one, in turn

The exit code is 1 if a scenario failed: a checker complained, or nothing was injected. What the machine lacks is said, and is no failure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from random import SystemRandom

from jetfleet.broker.observe import logs

from . import registry
from .arguments import at_least_one, whole
from .outcome import HEAD, Outcome
from .registry import Missing, Settings

SEED_MAX = 1 << 31


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Inject faults into a fleet of real processes.")
    parser.add_argument("scenario", nargs="*", help="names, or `all`; without any they are listed")
    parser.add_argument("--n", type=at_least_one, default=0, help="how many faults to inject; without it as many as the scenario likes")
    parser.add_argument("--seed", type=whole, help="repeats what is ours to choose")
    parser.add_argument("--quick", action="store_true", help="fewer faults")
    parser.add_argument("--json", action="store_true", help="an object per scenario and line")
    parser.add_argument("--markdown", action="store_true", help="rows of a table")
    options = parser.parse_args(arguments)
    if not options.scenario:
        return _list()
    chosen = registry.names() if options.scenario == ["all"] else options.scenario
    if unknown := [name for name in chosen if name not in registry.names()]:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(registry.names())}")
    logs.configure("error", "auto", "faults")
    seed = SystemRandom().randrange(SEED_MAX) if options.seed is None else options.seed
    if options.markdown:
        print(HEAD)
    well = [_play(name, Settings(n=options.n, seed=seed, quick=options.quick), options) for name in chosen]
    return int(not all(well))


def _list() -> int:
    for name in registry.names():
        print(f"{name:<20} {registry.scenario(name).about}")
    return 0


def _play(name: str, settings: Settings, options: argparse.Namespace) -> bool:
    """Whether it is as it should be."""
    try:
        outcome = registry.play(name, settings)
    except Missing as missing:
        print(f"{name}: not played, {missing}", file=sys.stderr, flush=True)
        return True
    print(outcome.json() if options.json else outcome.row() if options.markdown else _told(outcome), flush=True)
    return outcome.ok


def _told(outcome: Outcome) -> str:
    """For people."""
    counts = {
        "faults": dict(outcome.faults),
        "acknowledged": outcome.acked,
        "runs": outcome.runs,
        "lost": outcome.lost,
        "stuck": outcome.stuck,
        "duplicates": outcome.duplicates,
        "reexecuted": outcome.reexecuted,
        "unknown": f"{outcome.unknown} {dict(outcome.resolved)}",
    }
    lines = [f"{outcome.name}: {outcome.verdict}", *(f"  {name:<14}{count}" for name, count in counts.items())]
    lines += [f"  {note}" for note in outcome.notes] + [f"  COMPLAINT {complaint}" for complaint in outcome.complaints[:20]]
    return "\n".join([*lines, f"  {outcome.seconds:.1f} s, --seed {outcome.seed}"])


if __name__ == "__main__":
    sys.exit(main())

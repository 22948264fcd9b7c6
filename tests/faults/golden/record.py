"""Recording a golden set of this version.

    python -m tests.faults.golden.record [FOLDER]

Takes about two minutes. A file that is there is not touched: README.md says why.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

from jetfleet.broker.engine import snapshot
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Record

from .listening import Heard, encoded, shape
from .playback import play
from .tape import FORMAT, HERE, Run, Runs, Wire, write
from .wire import minute_of_a_fleet

TESTS = ("tests/engine", "tests/examples", "tests/runner", "tests/waiting/test_timers.py", "tests/subflows/test_steps.py")
BYTES_MAX = 6_000
"""Of a journal: what a longer one says more of is the same again."""
PER_PLAN = 3
PER_TEST = 4
"""Runs; tests with random programs play hundreds."""
SNAPSHOTS = 2
OF_THIS_MACHINE = (b"/work", b"/tmp", b"/root", b"/home", b"/dev/shm")


def main(folder: Path) -> int:
    of = f"v{version('jetfleet')}"
    wire, runs = folder / f"{of}-wire.gz", folder / f"{of}-runs.gz"
    if wire.exists() or runs.exists():
        print(f"there is a set of {of} already, and what was written stays as it is: give the version a new number first", file=sys.stderr)
        return 2
    write(wire, Wire(FORMAT, of, minute_of_a_fleet()))
    heard = Heard()
    with heard.listening():
        pytest.main([*TESTS, "-q", "-p", "no:cacheprovider"], plugins=[heard])
    write(runs, Runs(FORMAT, of, chosen(heard)))
    for path in (wire, runs):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


def chosen(heard: Heard) -> list[Run]:
    """Of each plan a few journals that differ in shape, the long ones first; nothing that names this machine."""
    found: list[Run] = []
    shapes: dict[str, set[object]] = {}
    of_test: Counter[str] = Counter()
    for test, played in sorted(heard.played, key=lambda each: -len(each[1].journal)):
        journal, plan = list(played.journal), played.plan
        known = shapes.setdefault(plan.digest, set())
        name = test.partition("[")[0]
        if not journal or len(known) >= PER_PLAN or shape(journal) in known or of_test[name] >= PER_TEST:
            continue
        records = [encode_record(record) for record in journal]
        definition = heard.definition(plan)
        if definition is None or sum(map(len, records)) > BYTES_MAX or _names_this_machine([definition.source, *records]):
            continue
        known.add(shape(journal))
        of_test[name] += 1
        found.append(_recorded(test, encoded(definition), plan, journal, records))
    return sorted(found, key=lambda run: (run.origin, run.records))


def _recorded(test: str, definition: bytes, plan: Plan, journal: list[Record], records: list[bytes]) -> Run:
    effects, states, snapshots, status = [], [], {}, ""
    cuts = {len(journal) * part // (SNAPSHOTS + 1) for part in range(1, SNAPSHOTS + 1)}
    for number, step in enumerate(play(plan, journal), 1):
        effects.append(step.of_effects)
        states.append(step.state)
        status = step.run.status
        if number in cuts:
            snapshots[number] = snapshot(step.run)
    return Run(test, definition, records, effects, states, snapshots, status)


def _names_this_machine(texts: list[bytes]) -> bool:
    return any(place in text for text in texts for place in OF_THIS_MACHINE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))

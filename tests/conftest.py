"""What all tests share: hypothesis profiles, and the closing lines that say which optional parts were exercised."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import settings

# No deadlines: a slow moment of the machine must never fail a test.
settings.register_profile("jetfleet", deadline=None, print_blob=True)
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=10_000)
settings.load_profile("jetfleet")


@dataclass(frozen=True, slots=True)
class Part:
    """Something that jetfleet can do without, or that only some machines have. Tests name it by `pytest.mark.part(name)`."""

    name: str
    module: str
    remedy: str


PARTS = (
    Part("uvloop", "uvloop", "pip install 'jetfleet[speed]'"),
    Part("process pool", "pebble", "pip install jetfleet"),
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Printed above pytest's own last line."""
    passed = {report.nodeid for report in terminalreporter.stats.get("passed", [])}
    exercised = Counter(name for item, names in config.stash.get(MARKED, {}).items() if item in passed for name in names)
    terminalreporter.section("optional parts")
    for part in PARTS:
        terminalreporter.write_line(f"{part.name}: {state(part, exercised[part.name])}")


def state(part: Part, tests: int) -> str:
    if importlib.util.find_spec(part.module) is None:
        return f"not installed ({part.remedy})"
    return f"exercised by {tests} {'test' if tests == 1 else 'tests'}" if tests else "installed, not exercised"


MARKED = pytest.StashKey[dict[str, set[str]]]()
"""Which test exercises which parts, by node id."""


def pytest_collection_finish(session: pytest.Session) -> None:
    known = {part.name for part in PARTS}
    marked: dict[str, set[str]] = {}
    for item in session.items:
        marked[item.nodeid] = {mark.args[0] for mark in item.iter_markers("part")}
        if unknown := marked[item.nodeid] - known:
            raise pytest.UsageError(f"{item.nodeid}: unknown part {', '.join(sorted(unknown))}; conftest.py lists them")
    session.config.stash[MARKED] = marked

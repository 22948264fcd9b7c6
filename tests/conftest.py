"""What all tests share: hypothesis profiles, and the closing lines that say which optional parts were exercised."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog
from hypothesis import settings

# No deadlines: a slow moment of the machine must never fail a test.
settings.register_profile("jetfleet", deadline=None, print_blob=True)
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=10_000)
settings.load_profile("jetfleet")


@pytest.fixture(autouse=True)
def unchanged_log() -> Iterator[None]:
    """A test that runs a command configures the log of this process; the next test must not find it so."""
    yield
    structlog.reset_defaults()


@dataclass(frozen=True, slots=True)
class Part:
    """Something that jetfleet can do without, or that works only on some machines: a Python module, a `command` that must be found, or what
    a `variable` of the environment names.

    A test says that it exercises the part by `pytest.mark.part(name)`. A `silent` part has no tests of its own: it counts as
    exercised once its module was imported.
    """

    name: str
    module: str
    remedy: str
    silent: bool = False
    command: str = ""
    variable: str = ""

    @property
    def installed(self) -> bool:
        if self.variable:
            return bool(os.environ.get(self.variable))
        return shutil.which(self.command) is not None if self.command else importlib.util.find_spec(self.module) is not None


PARTS = (
    Part("uvloop", "uvloop", "pip install 'jetfleet[speed]'", silent=True),
    Part("process pool", "pebble", "pip install jetfleet"),
    Part("kafka mock cluster", "confluent_kafka", "pip install 'jetfleet[dev]'"),
    Part("kafka broker", "", "tests/triggers/kafka/get_kafka.sh fetches one", variable="JETFLEET_KAFKA_HOME"),
    Part("publisher in bash", "", "install bash", command="bash"),
    Part("publisher in C", "", "install a C compiler", command="cc"),
    Part("publisher in Go", "", "install Go", command="go"),
    Part("publisher in Java", "", "install a JDK, 17 or newer", command="java"),
    Part("publisher in Node.js", "", "install Node.js", command="node"),
    Part("publisher in Python", "", "install Python", command="python3"),
    Part("publisher in Rust", "", "install Rust", command="rustc"),
)
MARKED = pytest.StashKey[dict[str, set[str]]]()
"""Which test exercises which parts, by node id."""


def pytest_collection_finish(session: pytest.Session) -> None:
    marked = {item.nodeid: {mark.args[0] for mark in item.iter_markers("part")} for item in session.items}
    unknown = set().union(*marked.values()) - {part.name for part in PARTS}
    if unknown:
        raise pytest.UsageError(f"no part is called {', '.join(sorted(unknown))}; tests/conftest.py lists them")
    session.config.stash[MARKED] = marked


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Printed above pytest's own last line."""
    passed = {report.nodeid for report in terminalreporter.stats.get("passed", [])}
    exercised = Counter(name for id, names in config.stash.get(MARKED, {}).items() if id in passed for name in names)
    terminalreporter.section("optional parts")
    for part in PARTS:
        terminalreporter.write_line(f"{part.name}: {_state(part, exercised[part.name])}")


def _state(part: Part, tests: int) -> str:
    if not part.installed:
        return f"not installed ({part.remedy})"
    if tests:
        return f"exercised by {tests} {'test' if tests == 1 else 'tests'}"
    return "exercised" if part.silent and part.module in sys.modules else "installed, not exercised"

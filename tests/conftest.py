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


def plain_log() -> None:
    """As a process of jetfleet logs: structlog's own tracebacks tell all local variables, and drawing those of a coordinator takes
    longer than its leases last."""
    structlog.reset_defaults()
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


plain_log()


@pytest.fixture(autouse=True)
def unchanged_log() -> Iterator[None]:
    """A test that runs a command configures the log of this process; the next test must not find it so."""
    yield
    plain_log()


@dataclass(frozen=True, slots=True)
class Part:
    """Something that jetfleet can do without, or that works only on some machines: a Python module, a `command` that must be found, or what
    a `variable` of the environment names.

    A test says that it exercises the part by `pytest.mark.part(name)`. A `silent` part has no tests of its own: it counts as
    exercised by the test that imports its module first.
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
    Part(
        "S3 server",
        "",
        "pip install 'moto[s3,server]', in an environment of its own, and put its `moto_server` on PATH",
        command="moto_server",
    ),
    Part("publisher in bash", "", "install bash", command="bash"),
    Part("publisher in C", "", "install a C compiler", command="cc"),
    Part("publisher in Go", "", "install Go", command="go"),
    Part("publisher in Java", "", "install a JDK, 17 or newer", command="java"),
    Part("publisher in Node.js", "", "install Node.js", command="node"),
    Part("publisher in Python", "", "install Python", command="python3"),
    Part("publisher in Rust", "", "install Rust", command="rustc"),
)
PART = "part"
"""The property of a test's report that names a part; reports of other processes come with their properties."""


def pytest_collection_finish(session: pytest.Session) -> None:
    unknown: set[str] = set()
    for item in session.items:
        names = {mark.args[0] for mark in item.iter_markers("part")}
        item.user_properties += [(PART, name) for name in sorted(names)]
        unknown |= names - {part.name for part in PARTS}
    if unknown:
        raise pytest.UsageError(f"no part is called {', '.join(sorted(unknown))}; tests/conftest.py lists them")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = set(sys.modules)
    yield
    item.user_properties += [(PART, part.name) for part in PARTS if part.silent and part.module in sys.modules.keys() - before]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Printed above pytest's own last line."""
    passed = terminalreporter.stats.get("passed", [])
    exercised = Counter(value for report in passed for name, value in report.user_properties if name == PART)
    terminalreporter.section("optional parts")
    for part in PARTS:
        terminalreporter.write_line(f"{part.name}: {_state(part, exercised[part.name])}")


def _state(part: Part, tests: int) -> str:
    if not part.installed:
        return f"not installed ({part.remedy})"
    if tests:
        return f"exercised by {tests} {'test' if tests == 1 else 'tests'}"
    return "installed, not exercised"

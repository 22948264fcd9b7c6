"""Listening: which flows are compiled and which runs are played while tests run.

A plugin of pytest, handed to `pytest.main`. It wraps what compiles and what holds runs, and leaves what they do alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from jetfleet.broker.definitions import compile_definition, define
from jetfleet.schemas import messages
from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.messages import Definition
from jetfleet.schemas.plan import compiler
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Record
from jetfleet.schemas.source import loader
from jetfleet.workers.local_run import LocalRun

from ...engine.driving import Driver
from ...engine.reopened import ReopenedDriver
from ..defects import patched


class Heard:
    """`played`: each run with the test that played it. Its journal grows until the tests are over."""

    def __init__(self) -> None:
        self.played: list[tuple[str, Driver | LocalRun]] = []
        self._flows: dict[str, tuple[Any, Any]] = {}
        self._test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._test = item.name
        return (yield)

    def definition(self, plan: Plan) -> Definition | None:
        """As it would be deployed; None if the flow was not heard of, or is no longer what was compiled."""
        flow, types = self._flows.get(plan.digest, (None, None))
        if flow is None:
            return None
        try:
            found = define(flow, types)
            return found if compile_definition(found).digest == plan.digest else None
        except JetfleetError:
            return None

    @contextmanager
    def listening(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in (compiler, loader):
                stack.enter_context(patched(module, "check", self._noting_flows))
            for holder in (Driver, ReopenedDriver, LocalRun):
                stack.enter_context(patched(holder, "__init__", self._noting_runs))
            yield

    def _noting_flows(self, check: Any) -> Any:
        def noted(flow: Any, known_types: Any = None) -> Any:
            plan, problems = check(flow, known_types)
            if plan is not None:
                self._flows.setdefault(plan.digest, (flow, known_types))
            return plan, problems

        return noted

    def _noting_runs(self, init: Any) -> Any:
        def noted(run: Any, *arguments: Any, **named: Any) -> None:
            init(run, *arguments, **named)
            self.played.append((self._test, run))

        return noted


def shape(journal: Sequence[Record]) -> tuple[object, ...]:
    """Journals of one plan with the same shape teach the same."""
    return tuple((type(record).__name__, getattr(record, "activation", None), getattr(record, "attempt", 0)) for record in journal)


def encoded(definition: Definition) -> bytes:
    """Without the time of its deployment."""
    return messages.encode(Definition(definition.name, definition.version, definition.digest, definition.source, definition.types))

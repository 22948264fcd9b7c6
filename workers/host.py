"""The host: what a run in this process needs of the runner that it runs in."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Protocol

from ..schemas.effects import Emit, StartChild
from ..schemas.records import Error
from .clock import Clock
from .executor import Executor
from .local_gates import LocalGates
from .slots import Slots

if TYPE_CHECKING:
    from .local_run import LocalRun


class Host(Protocol):
    """`keep`: whether runs keep their journals. `awake`: how many runs are taking in records right now."""

    clock: Clock
    executor: Executor
    gates: LocalGates
    slots: Slots
    keep: bool
    awake: int

    def fresh_context(self) -> Context:
        """A context in which no node has run."""

    def start_child(self, parent: LocalRun, effect: StartChild) -> LocalRun | Error:
        """Start a sub-flow's run, or say why that cannot be."""

    def emit(self, effect: Emit) -> None:
        """Hand an event to whoever waits for it."""

    def withdraw(self, run: LocalRun) -> bool:
        """Forget a run that has not begun. False: it has."""

    def forget(self, run: LocalRun) -> None:
        """The run has ended."""

    def went_quiet(self) -> None:
        """The run has come to rest."""

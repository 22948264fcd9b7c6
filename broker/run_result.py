"""The result of a run: how it ended, and everything that can be asked about it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..schemas.payload import NULL, Payload, decode
from ..schemas.records import Error, Record, RunStarted
from .engine import NodeView, Run, nodes


@dataclass(frozen=True, slots=True)
class Opened:
    """An output that was read while its large parts were there."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """`status`: completed, failed, cancelled or killed; of one that is looked at while it is open, running or paused.

    `opened`: the output's value, where parts of it lay in the arena. `journal` is empty unless it was kept. `state` is None for a run that
    was cancelled before it began.
    """

    run_id: str
    status: str
    payload: Payload
    error: Error | None
    records: int
    started_at: int
    ended_at: int
    journal: Sequence[Record]
    state: Run | None
    opened: Opened | None = None

    @staticmethod
    def of(run: Run, journal: Sequence[Record]) -> RunResult:
        status = "paused" if run.paused and not run.ended else run.status
        return RunResult(run.id, status, run.output, run.error, run.records, run.started_at, run.updated_at, journal, run)

    @staticmethod
    def never_begun(started: RunStarted, at: int, status: str, reason: str) -> RunResult:
        return RunResult(started.run, status, NULL, Error(status, reason or status, False), 0, started.at, at, (), None)

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def output(self) -> Any:
        """The run's output, decoded."""
        return decode(self.payload) if self.opened is None else self.opened.value

    def nodes(self) -> dict[str, NodeView]:
        """Every activation by its key: `charge`, `charge[2]`. Those in bodies only if the runner keeps journals."""
        return {} if self.state is None else nodes(self.state)

    def as_value(self) -> dict[str, Any]:
        """The result as plain data, as `jetfleet run -o json` prints it."""
        views = {
            key: {"status": view.status, "port": view.port, "attempts": view.attempts, "output": _plain(view.output)}
            for key, view in self.nodes().items()
        }
        return {
            "run_id": self.run_id,
            "status": self.status,
            "output": self.output,
            "error": None if self.error is None else self.error.as_value(),
            "nodes": views,
            "records": self.records,
        }


def _plain(payload: Payload | None) -> Any:
    return None if payload is None else decode(payload)

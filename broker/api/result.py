"""The result of a run of the fleet: how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...schemas.payload import NULL, Payload, decode
from ...schemas.records import Error
from ..run_result import Opened


@dataclass(frozen=True, slots=True)
class Result:
    """`status`: completed, failed, cancelled or killed. Times in ms since the epoch; `started_at` is None where only the end was told.

    `opened`: the output's value, once somebody has fetched what of it lies elsewhere.
    """

    run_id: str
    status: str
    payload: Payload = NULL
    error: Error | None = None
    ended_at: int = 0
    started_at: int | None = None
    opened: Opened | None = field(default=None, repr=False, compare=False)

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def output(self) -> Any:
        """The run's output; None of a run that did not complete. Where it was not fetched, a `Ref` stands for what lies elsewhere."""
        return decode(self.payload) if self.opened is None else self.opened.value

    def as_value(self) -> dict[str, Any]:
        """The result as plain data, as the commands print it."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "output": self.output,
            "error": None if self.error is None else self.error.as_value(),
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }

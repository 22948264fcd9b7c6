"""Local gates: the limits of the runs in this process, by the same state machine as on a fleet.

What a gate answers goes to its run as a record. A run that ended by a defect gives back here what its engine could not.
"""

from __future__ import annotations

from collections.abc import Callable

from ..broker.engine.gate import Answer, Gate
from ..schemas import effects as fx
from ..schemas import records as rec


class LocalGates:
    """`deliver` hands a record to its run, if that is still there: False if not. `now_ms` is the runner's clock."""

    def __init__(self, deliver: Callable[[Answer], bool], now_ms: Callable[[], int]) -> None:
        self._deliver = deliver
        self._now_ms = now_ms
        self._gates: dict[str, Gate] = {}

    def want(self, effect: fx.WantSlot) -> None:
        self._take(
            rec.SlotWanted(
                effect.limit, self._now_ms(), effect.run, effect.activation, effect.attempt, effect.most, effect.on_limit, effect.per_ms,
                effect.burst, effect.priority, effect.fair,
            )
        )  # fmt: skip

    def release(self, effect: fx.ReleaseSlot) -> None:
        self._take(rec.SlotReleased(effect.limit, self._now_ms(), effect.run, effect.activation, effect.attempt))

    def forget(self, run: str) -> None:
        """The run is over, in whatever way."""
        for gate in list(self._gates.values()):
            for holder in [holder for holder in gate.entries if holder.run == run]:
                self._take(rec.SlotReleased(gate.id, self._now_ms(), *holder))

    def _take(self, record: rec.SlotWanted | rec.SlotReleased) -> None:
        gate = self._gates.get(record.run)
        if gate is None:
            gate = self._gates[record.run] = Gate(record.run)
        for answer in gate.take(record):
            if not self._deliver(answer) and isinstance(answer, rec.SlotGranted) and not answer.refused:
                self._take(rec.SlotReleased(gate.id, self._now_ms(), answer.run, answer.activation, answer.attempt))
        if gate.is_idle(record.at):
            self._gates.pop(gate.id, None)

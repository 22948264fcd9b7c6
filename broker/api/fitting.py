"""Fitting: the journal of a run as if it had been one of another version of its flow.

Records name nodes by their numbers in a plan. Here each goes to the node of the same id in the other plan, which has to be of the same
kind, as deep in loops and splits, and to have the port by which it went. What the other version connects differently is decided anew when
the journal is folded: a record for a node that does not start there means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from msgspec.structs import replace

from ...schemas.plan.plan import Plan, PlanNode
from ...schemas.records import Activation, ChildEnded, Completion, Record, RunStarted, SlotGranted, TimerFired
from .reopening_errors import VersionUnfit

GUARD_TIMERS = ("scope", "scope_retry")


def fitted(plan: Plan, other: Plan, records: Sequence[Record]) -> list[Record]:
    """The records for the plan `other`. Raises VersionUnfit with the first that does not fit."""
    if plan.digest == other.digest:
        return list(records)
    fitting = _Fitting(plan, other)
    return [fitting.record(record) for record in records]


class _Fitting:
    def __init__(self, plan: Plan, other: Plan) -> None:
        self._plan, self._other = plan, other
        self._numbers: dict[int, int] = {}

    def record(self, record: Record) -> Record:
        if isinstance(record, RunStarted):
            return self._start(record)
        if isinstance(record, Completion):
            fitting = replace(record, activation=self._address(record.activation))
            if record.error is None and record.activation:
                self._check_port(self._other.nodes[int(fitting.activation[0])], record.port)
            return fitting
        if isinstance(record, (ChildEnded, SlotGranted)):
            return replace(record, activation=self._address(record.activation))
        if isinstance(record, TimerFired):
            timer = record.timer
            place = self._guard(timer.activation) if timer.purpose in GUARD_TIMERS else self._address(timer.activation)
            return replace(record, timer=replace(timer, activation=place))
        return record

    def _start(self, record: RunStarted) -> RunStarted:
        if record.trigger is not None and self._other.trigger(record.trigger) is None:
            self._refuse(f"it has no trigger {record.trigger!r}")
        return replace(record, digest=self._other.digest)

    def _address(self, address: Activation) -> Activation:
        if not address:
            return address
        index = int(address[0])
        if not 0 <= index < len(self._plan.nodes):  # it never meant anything
            return address
        if index not in self._numbers:
            self._numbers[index] = self._same(self._plan.nodes[index]).index
        return (self._numbers[index], *address[1:])

    def _same(self, node: PlanNode) -> PlanNode:
        number = next((each.index for each in self._other.nodes if each.id == node.id), None)
        if number is None:
            self._refuse(f"it has no node {node.id!r}")
        found = self._other.nodes[number]
        if found.kind != node.kind:
            self._refuse(f"node {node.id!r} is {found.type} there, and was {node.type}")
        if self._other.scopes[found.scope].depth != self._plan.scopes[node.scope].depth:
            self._refuse(f"node {node.id!r} stands in other loops or splits there")
        return found

    def _check_port(self, node: PlanNode, port: str) -> None:
        if node.port_index(port) < 0:
            self._refuse(f"node {node.id!r} has no port {port!r} there")

    def _guard(self, address: Activation) -> Activation:
        guard = self._plan.guards[int(address[0])]
        found = next((each for each in self._other.guards if each.id == guard.id), None)
        if found is None:
            self._refuse(f"it has no scope {guard.id!r}")
        return (found.index, *address[1:])

    def _refuse(self, reason: str) -> NoReturn:
        raise VersionUnfit(self._other.name, self._other.version, reason)

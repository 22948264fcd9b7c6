"""Admission: how many runs of a flow may start, asked of what is open and not counted up and down."""

from __future__ import annotations

from typing import Any

from jetfleet.broker.coordinator.admission import Admission
from jetfleet.broker.coordinator.breaker import MINIMUM_RUNS
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan


def plan(**settings: Any) -> Plan:
    return compile_flow(Flow.model_validate({"name": "orders", "nodes": {"a": {"type": "t.a"}}, "settings": settings}))


class Fleet:
    """`open`: runs of the flow in this process; `coordinators`: how many there are."""

    def __init__(self, open: int = 0, coordinators: int = 1) -> None:
        self.open, self.coordinators = open, coordinators
        self.admission = Admission(lambda flow: self.open, lambda: self.coordinators)


def test_room_is_the_limit_without_what_is_open_and_what_is_coming() -> None:
    fleet, orders = Fleet(open=3), plan(max_concurrent_executions=10)
    fleet.admission.started(orders, "orders/1", here=True)
    assert fleet.admission.room(orders) == 6


def test_a_run_that_has_begun_is_not_counted_twice() -> None:
    fleet, orders = Fleet(), plan(max_concurrent_executions=2)
    fleet.admission.started(orders, "orders/1", here=True)
    fleet.open = 1
    fleet.admission.begun("orders", "orders/1")
    fleet.admission.begun("orders", "orders/1")
    fleet.admission.begun("another", "another/1")
    assert fleet.admission.room(orders) == 1


def test_runs_that_begin_elsewhere_take_no_room_here() -> None:
    fleet, orders = Fleet(), plan(max_concurrent_executions=2)
    fleet.admission.started(orders, "orders/1", here=False)
    assert fleet.admission.room(orders) == 2


def test_a_flow_without_room_says_why() -> None:
    fleet, orders = Fleet(open=2), plan(max_concurrent_executions=2)
    assert fleet.admission.closed_by(orders) == "max_concurrent_executions"
    fleet.open = 1
    assert fleet.admission.closed_by(orders) == ""


def test_each_coordinator_has_its_share_rounded_up() -> None:
    orders = plan(max_concurrent_executions=10)
    assert [Fleet(coordinators=count).admission.room(orders) for count in (1, 2, 3, 20)] == [10, 5, 4, 1]


def test_partitions_that_were_lost_take_along_what_was_coming() -> None:
    fleet, orders = Fleet(), plan(max_concurrent_executions=1)
    fleet.admission.started(orders, "orders/1", here=True)
    assert fleet.admission.room(orders) == 0
    fleet.admission.forget_coming()
    assert fleet.admission.room(orders) == 1


def test_an_open_breaker_leaves_no_room_and_cancelled_runs_do_not_open_it() -> None:
    settings = {"max_concurrent_executions": 100, "circuit_breaker_threshold": 0.5, "circuit_breaker_window_ms": 600_000}
    fleet, orders = Fleet(), plan(**settings)
    for _ in range(MINIMUM_RUNS):
        fleet.admission.ended(orders, "cancelled")
    assert fleet.admission.room(orders) == 100
    for _ in range(2 * MINIMUM_RUNS):
        fleet.admission.ended(orders, "failed")
    assert fleet.admission.room(orders) == 0 and fleet.admission.closed_by(orders) == "breaker"


def test_a_version_with_other_limits_begins_with_a_closed_breaker() -> None:
    fleet = Fleet()
    before = plan(circuit_breaker_threshold=0.1, circuit_breaker_window_ms=600_000)
    for _ in range(MINIMUM_RUNS):
        fleet.admission.ended(before, "failed")
    assert fleet.admission.closed_by(before) == "breaker"
    assert fleet.admission.closed_by(plan(circuit_breaker_threshold=0.9, circuit_breaker_window_ms=600_000)) == ""

"""Edges with a condition, wherever they come from: a node, a trigger, a loop or split into its body, a scope that failed."""

from __future__ import annotations

import pytest

from .driving import Driver


def test_an_edge_is_taken_if_its_condition_holds_for_the_value_on_it() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: [{from: a, to: b, condition: amount > 3}]", {"amount": 9})
    run.complete("a", {"amount": 3})
    assert run.status("b") == "skipped"
    assert run.ended == "completed"


@pytest.mark.parametrize(("amount", "b"), [(4, "running"), (3, "skipped")])
def test_the_condition_of_a_triggers_edge_looks_at_the_event(amount: int, b: str) -> None:
    flow = """
        triggers: [{id: t, type: manual}]
        nodes: {a: {type: x.a}, b: {type: x.b}}
        edges: [{from: t, to: a}, {from: t, to: b, condition: amount > 3}]
        """
    assert Driver(flow, {"amount": amount}, trigger="t").status("b") == b


def test_a_run_whose_only_way_in_is_dead_ends_at_once() -> None:
    flow = "triggers: [{id: t, type: manual}]\nnodes: {a: {type: x.a}}\nedges: [{from: t, to: a, condition: amount > 3}]"
    assert Driver(flow, {"amount": 1}, trigger="t").ended == "completed"


def test_the_conditions_of_a_splits_edges_look_at_each_item() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, small: {type: x.s}, large: {type: x.l}}
        edges: [{from: s.item, to: small, condition: $ < 10}, {from: s.item, to: large, condition: $ >= 10}]
        """
    run = Driver(flow, [5, 50])
    assert sorted(run.open) == ["large[1]", "small[0]"]


def test_the_conditions_of_a_loops_edges_look_at_each_rounds_value() -> None:
    flow = """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, a: {type: x.a}, b: {type: x.b}}
        edges: [{from: l.continue, to: a}, {from: l.continue, to: b, condition: more}, {from: a, to: l}]
        """
    run = Driver(flow, {"more": False})
    assert sorted(run.open) == ["a[0]"]
    run.complete("a[0]", {"more": True})
    assert sorted(run.open) == ["a[1]", "b[1]"]


@pytest.mark.parametrize(("type", "handler"), [("declined", "apologise"), ("down", "call")])
def test_the_conditions_of_a_scopes_error_edges_look_at_the_error(type: str, handler: str) -> None:
    flow = """
        nodes: {pay: {type: x.p}, apologise: {type: x.a}, call: {type: x.c}}
        scopes: {s: {nodes: [pay]}}
        edges: [{from: s.error, to: apologise, condition: type == declined}, {from: s.error, to: call, condition: type == down}]
        """
    run = Driver(flow)
    run.fail("pay", type=type)
    assert sorted(run.open) == [handler]


def test_a_condition_can_read_the_flows_config() -> None:
    flow = """
        config: {limit: 10}
        nodes: {a: {type: x.a}, b: {type: x.b}}
        edges: [{from: a, to: b, condition: "amount > ${pipeline.config.limit}"}]
        """
    run = Driver(flow)
    run.complete("a", {"amount": 11})
    assert sorted(run.open) == ["b"]


def test_an_error_that_no_error_edge_lets_through_is_not_handled() -> None:
    flow = """
        nodes: {a: {type: x.a}, h: {type: x.h}}
        edges: [{from: a.error, to: h, condition: "type == expected"}]
        """
    run = Driver(flow)
    run.fail("a", type="surprise")
    assert (run.ended, run.error.type) == ("failed", "surprise")
    run = Driver(flow)
    run.fail("a", type="expected")
    assert list(run.open) == ["h"]

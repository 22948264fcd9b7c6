"""Loops: how often a body runs, what comes out, ways out of the middle, and cycles closed by an edge."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from jetfleet.broker.engine.decide import WEIGHED_EACH
from jetfleet.schemas.errors import NodeError

from .driving import Driver


def loop(config: str) -> str:
    return f"""
        nodes: {{l: {{type: std::loop, config: {{{config}}}}}, w: {{type: x.w}}, d: {{type: x.d}}}}
        edges: [{{from: l.continue, to: w}}, {{from: w, to: l, loop_back: true}}, {{from: l.exit, to: d}}]
        """


def count_up(value: Any) -> Any:
    return {**value, "n": value["n"] + 1}


def test_a_loop_runs_its_body_max_iterations_times() -> None:
    run = Driver(loop("max_iterations: 3"), {"n": 0}).work(w=count_up)
    assert run.dispatched("w") == ["w[0]", "w[1]", "w[2]"]
    assert run.value == {"n": 3}


@pytest.mark.parametrize(
    ("config", "iterations"),
    [
        ("max_iterations: 9, condition: n >= 2", 2),
        ("max_iterations: 9, until_expression: n > 2", 3),
        ("max_iterations: 9, until_expression: '${iteration} >= 4'", 4),
        ("max_iterations: 9, until_field_equals: {field: n, value: 1}", 1),
        ("max_iterations: 2, condition: n >= 5", 2),
        ("max_iterations: 9, condition: always", 0),
        ("condition: missing == 1", 10),
    ],
)
def test_a_loop_ends_when_its_condition_holds_and_always_at_its_maximum(config: str, iterations: int) -> None:
    run = Driver(loop(config), {"n": 0}).work(w=count_up)
    assert run.value == {"n": iterations}


@pytest.mark.parametrize("config", ["until_true: stop", "until_true: {field: stop}", "until_false: go", "until_false: {field: go}"])
def test_a_loop_ends_on_a_truth_or_a_falsehood(config: str) -> None:
    run = Driver(loop("max_iterations: 9, " + config), {"n": 0, "stop": False, "go": True})
    run.complete("w[0]", {"stop": False, "go": True})
    run.complete("w[1]", {"stop": True, "go": False})
    assert run.input("d") == {"stop": True, "go": False}


def test_ports_of_a_loop_have_other_names() -> None:
    flow = loop("max_iterations: 2").replace("l.continue", "l.body").replace("l.exit", "l.done")
    assert Driver(flow, {"n": 0}).work(w=count_up).value == {"n": 2}


def test_a_node_in_the_body_that_does_not_come_back_runs_in_every_iteration() -> None:
    flow = """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, w: {type: x.w}, leaf: {type: x.leaf}, d: {type: x.d}}
        edges: [{from: l.continue, to: w}, {from: w, to: l, loop_back: true}, {from: w, to: leaf}, {from: l.exit, to: d}]
        """
    run = Driver(flow, 0)
    run.complete("w[0]", 1)
    assert "w[1]" not in run.open, "the iteration ends with its last node"
    run.work(w=lambda v: v + 1)
    assert run.dispatched("leaf") == ["leaf[0]", "leaf[1]"]
    assert run.value == 2


def test_an_iteration_that_does_not_come_back_ends_the_loop() -> None:
    flow = """
        nodes: {l: {type: std::loop, config: {max_iterations: 9}}, sw: {type: std::switch, config: {condition: n < 2}}, w: {type: x.w}, d: {type: x.d}}
        edges: [{from: l.continue, to: sw}, {from: sw.true, to: w}, {from: w, to: l, loop_back: true}, {from: l.exit, to: d}]
        """
    run = Driver(flow, {"n": 0}).work(w=count_up)
    assert run.value == {"n": 2}


BREAK = """
    nodes:
      l: {type: std::loop, config: {max_iterations: 3}}
      w: {type: x.w}
      sw: {type: std::switch, config: {condition: stop}}
      out: {type: x.out}
      d: {type: x.d}
      end: {type: std::merge, config: {strategy: any}}
    edges:
      - {from: l.continue, to: w}
      - {from: w, to: sw}
      - {from: sw.false, to: l, loop_back: true}
      - {from: sw.true, to: end}
      - {from: l.exit, to: d}
      - {from: d, to: end}
    """


def test_a_way_out_of_the_body_breaks_the_loop() -> None:
    run = Driver(BREAK, {"n": 0})
    run.complete("w[0]", {"n": 1, "stop": False})
    run.complete("w[1]", {"n": 2, "stop": True})
    assert run.statuses("d", "end") == ["skipped", "completed"]
    assert run.output("end") == {"n": 2, "stop": True}


def test_a_loop_that_is_not_broken_goes_on_by_its_exit() -> None:
    run = Driver(BREAK, {"n": 0}).work(w=lambda v: {"n": v["n"] + 1, "stop": False})
    assert run.statuses("d", "end") == ["completed", "completed"]
    assert run.output("end") == {"n": 3, "stop": False}


def test_a_failure_in_an_iteration_fails_the_loop() -> None:
    flow = loop("max_iterations: 3").replace("edges: [", "edges: [{from: l.error, to: d}, ")
    run = Driver(flow, {"n": 0})
    run.complete("w[0]", {"n": 1})
    run.fail("w[1]", type="worn_out")
    assert (run.status("l"), run.input("d")["type"], run.input("d")["node"]) == ("failed", "worn_out", "w")
    assert run.work().ended == "completed"


def test_a_loop_with_a_single_failing_node_never_counts_the_iteration_as_ended() -> None:
    run = Driver(loop("max_iterations: 1"), {"n": 0})
    run.fail("w[0]")
    assert (run.ended, run.status("d")) == ("failed", "skipped")


def test_a_loop_is_tried_again_from_its_first_iteration() -> None:
    flow = loop("max_iterations: 2").replace("{type: std::loop,", "{type: std::loop, retry: {max_attempts: 2},")
    run = Driver(flow, {"n": 0})
    run.complete("w[0]", {"n": 1})
    run.fail("w[1]")
    run.fire("l", "retry")
    assert run.input("w[0]") == {"n": 0}
    assert run.work(w=count_up).value == {"n": 2}


def test_a_selector_from_outside_reads_the_last_iteration() -> None:
    flow = loop("max_iterations: 3").replace("nodes:", "outputs: '${w.n}'\n        nodes:")
    assert Driver(flow, {"n": 0}).work(w=count_up).value == 3


def test_a_loop_in_a_loop_starts_anew_each_time() -> None:
    flow = """
        nodes: {a: {type: std::loop, config: {max_iterations: 2}}, b: {type: std::loop, config: {max_iterations: 3}}, w: {type: x.w}, d: {type: x.d}}
        edges:
          - {from: a.continue, to: b}
          - {from: b.continue, to: w}
          - {from: w, to: b, loop_back: true}
          - {from: b.exit, to: a, loop_back: true}
          - {from: a.exit, to: d}
        """
    run = Driver(flow, {"n": 0}).work(w=count_up)
    assert run.dispatched("w") == ["w[0][0]", "w[0][1]", "w[0][2]", "w[1][0]", "w[1][1]", "w[1][2]"]
    assert run.value == {"n": 6}


def test_a_break_out_of_two_loops_ends_both() -> None:
    flow = """
        nodes:
          a: {type: std::loop, config: {max_iterations: 5}}
          b: {type: std::loop, config: {max_iterations: 5}}
          sw: {type: std::switch, config: {condition: n >= 7}}
          w: {type: x.w}
          end: {type: std::merge, config: {strategy: any}}
        edges:
          - {from: a.continue, to: b}
          - {from: b.continue, to: w}
          - {from: w, to: sw}
          - {from: sw.false, to: b, loop_back: true}
          - {from: sw.true, to: end}
          - {from: b.exit, to: a, loop_back: true}
          - {from: a.exit, to: end}
        """
    run = Driver(flow, {"n": 0}).work(w=count_up)
    assert run.value == {"n": 7}
    assert len(run.dispatched("w")) == 7


def test_a_way_back_to_the_outer_loop_may_lead_out_of_the_inner_one() -> None:
    flow = """
        nodes:
          a: {type: std::loop, config: {max_iterations: 2}}
          b: {type: std::loop, config: {max_iterations: 5}}
          w: {type: x.w}
          sw: {type: std::switch, config: {condition: next}}
          d: {type: x.d}
        edges:
          - {from: a.continue, to: b}
          - {from: b.continue, to: w}
          - {from: w, to: sw}
          - {from: sw.false, to: b, loop_back: true}
          - {from: sw.true, to: a, loop_back: true}
          - {from: b.exit, to: a, loop_back: true}
          - {from: a.exit, to: d}
        """
    run = Driver(flow, 0)
    run.complete("w[0][0]", {"next": False})
    run.complete("w[0][1]", {"next": True, "n": 2})
    assert run.input("w[1][0]") == {"next": True, "n": 2}


CYCLE = """
    nodes: {start: {type: x.s}, w: {type: x.w}, c: {type: std::switch, config: {condition: n >= 4}}, leaf: {type: x.leaf}, d: {type: x.d}}
    edges:
      - {from: start, to: w}
      - {from: w, to: c}
      - {from: w, to: leaf}
      - {from: c.false, to: w, loop_back: true}
      - {from: c.true, to: d}
    """


def test_an_edge_back_onto_an_ordinary_node_makes_a_loop() -> None:
    run = Driver(CYCLE, {"n": 0}).work(w=count_up)
    assert run.output("d") == {"n": 4}
    assert run.dispatched("w") == ["w[0]", "w[1]", "w[2]", "w[3]"]


def test_what_merely_hangs_on_such_a_cycle_runs_after_it() -> None:
    run = Driver(CYCLE, {"n": 0}).work(w=count_up)
    assert run.dispatched("leaf") == ["leaf"]


def test_an_endless_cycle_ends_with_an_error_at_its_limit() -> None:
    run = Driver(CYCLE + "settings: {limits: {iterations: 5}}", {"n": 0}).work(w=lambda v: v)
    assert (run.ended, run.error.type, run.error.node) == ("failed", "loop_limit", "w")
    assert len(run.dispatched("w")) == 5


def test_each_attempt_in_an_iteration_is_counted_for_itself() -> None:
    flow = loop("max_iterations: 2").replace("w: {type: x.w}", "w: {type: x.w, retry: {max_attempts: 2}}")
    run = Driver(flow, {"n": 0})
    for number in range(2):
        run.fail(f"w[{number}]")
        run.fire(f"w[{number}]", "retry")
        assert run.open[f"w[{number}]"].attempt == 2
        run.complete(f"w[{number}]", {"n": number})
    assert run.work().value == {"n": 1}


def test_an_error_edge_inside_the_body_keeps_the_loop_going() -> None:
    flow = """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, w: {type: x.w}, fix: {type: x.fix}, d: {type: x.d}}
        edges:
          - {from: l.continue, to: w}
          - {from: w, to: l, loop_back: true}
          - {from: w.error, to: fix}
          - {from: fix, to: l, loop_back: true}
          - {from: l.exit, to: d}
        """

    def odd(value: Any) -> Any:
        if value == 0:
            raise NodeError("no")
        return value + 1

    assert Driver(flow, 0).work(w=odd, fix=lambda error: 10).value == 11


def test_a_run_that_would_decide_without_end_fails_and_holds_up_nobody() -> None:
    round_about = """
    nodes: {l: {type: std::loop, config: {max_iterations: 1000000}}, m: {type: std::merge}, before: {type: x.a, compensate: undo}, undo: {type: x.u}}
    edges: [{from: before, to: l}, {from: l.continue, to: m}, {from: m, to: l}]
    """
    run = Driver(round_about)
    run.complete("before", "x" * 100_000)
    run.complete("undo")
    assert run.ended == "failed" and run.error.type == "too_much_at_once", "and what was completed is undone first"


def test_a_split_may_filter_as_many_items_as_travel_inside_a_message() -> None:
    filtering = """
    nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, f: {type: std::switch, config: {expression: "$ > 19998"}}, w: {type: x.w}}
    edges: [{from: s.item, to: f}, {from: f.true, to: w}]
    """
    run = Driver(filtering, list(range(20_000)))
    assert list(run.open) == ["w[19999]"]


def test_a_run_that_is_given_up_undoes_what_a_scope_was_about_to_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first item that is weighed is one too many, and comes just before the compensation that the scope's failure asks for."""
    monkeypatch.setattr(importlib.import_module("jetfleet.broker.engine.decide"), "TURN_MAX", 0)
    many = [f"p{number}" for number in range(WEIGHED_EACH)]
    flow = "\n".join(
        [
            "nodes:",
            "  a: {type: x.a, compensate: undo_a}",
            "  undo_a: {type: x.u}",
            "  go: {type: x.go}",
            "  no: {type: std::split, config: {field: nowhere}}",
            "  w: {type: x.w}",
            *(f"  {name}: {{type: std::merge}}" for name in many),
            "edges:",
            "  - {from: go, to: no}",
            "  - {from: no.item, to: w}",
            *(f"  - {{from: go, to: {name}}}" for name in many),
            "scopes: {t: {nodes: [a, no], compensate: reverse}}",
        ]
    )
    run = Driver(flow)
    run.complete("a")
    run.complete("go", {})
    assert list(run.open) == ["undo_a"]
    run.complete("undo_a")
    assert (run.ended, run.error.type) == ("failed", "too_much_at_once")

"""Splits: items, batches, caps, failed items, what a body's end is, and bodies in bodies."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.engine import nodes
from jetfleet.schemas.errors import NodeError

from .driving import Driver


def split(config: str = "mode: parallel", more: str = "") -> str:
    return f"""
        nodes:
          s: {{type: std::split, config: {{field: items, {config}}} {more}}}
          w: {{type: x.w}}
          after: {{type: x.after}}
        edges: [{{from: s.item, to: w}}, {{from: s.done, to: after}}]
        """


def refuse_odd(value: Any) -> Any:
    if value % 2:
        raise NodeError("odd", type="odd")
    return value * 10


def test_results_come_in_item_order_whatever_order_the_items_end_in() -> None:
    run = Driver(split(), {"items": ["a", "b", "c"]})
    for name in ("w[2]", "w[0]", "w[1]"):
        run.work_one(name, w=lambda v: v.upper())
    assert run.input("after") == ["A", "B", "C"]


def test_a_sequential_split_runs_one_item_at_a_time() -> None:
    run = Driver(split("mode: sequential"), {"items": [1, 2, 3]})
    assert list(run.open) == ["w[0]"]
    run.complete("w[0]")
    assert list(run.open) == ["w[1]"]


def test_a_parallel_split_runs_no_more_items_than_it_may() -> None:
    run = Driver(split("mode: parallel, max_parallel: 2"), {"items": list(range(5))})
    assert list(run.open) == ["w[0]", "w[1]"]
    run.complete("w[1]")
    assert list(run.open) == ["w[0]", "w[2]"]


def test_a_parallel_split_runs_sixteen_items_unless_told_otherwise() -> None:
    assert len(Driver(split(), {"items": list(range(40))}).open) == 16


def test_a_batched_split_hands_lists_to_its_body() -> None:
    run = Driver(split("mode: batched, batch_size: 2"), {"items": [1, 2, 3, 4, 5]}).work(w=sum)
    assert run.value == [3, 7, 5]
    assert run.dispatched("w") == ["w[0]", "w[1]", "w[2]"]


def test_an_empty_list_is_done_at_once_with_an_empty_list() -> None:
    run = Driver(split(), {"items": []})
    assert run.input("after") == [] and run.dispatched("w") == []


def test_the_input_itself_can_be_the_list() -> None:
    assert Driver(split().replace("items", "$"), [1, 2]).work().value == [1, 2]


@pytest.mark.parametrize(
    ("value", "type"), [({}, "missing_field"), ({"items": 3}, "not_a_list"), ({"items": {"a": 1}}, "not_a_list"), (None, "missing_field")]
)
def test_what_is_no_list_goes_to_the_error_port(value: Any, type: str) -> None:
    flow = split() + "\n        "
    flow = flow.replace("edges: [", "edges: [{from: s.error, to: rescue}, ").replace(
        "after: {type: x.after}", "after: {type: x.after}\n          rescue: {type: x.r}"
    )
    run = Driver(flow, value)
    assert run.input("rescue")["type"] == type
    assert run.work().status("after") == "skipped"


def test_what_is_no_list_fails_a_run_that_has_no_error_port_for_it() -> None:
    assert Driver(split(), {"items": "text"}).error.type == "not_a_list"


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_failed_item_fails_the_split_and_names_the_item(mode: str, bad: int) -> None:
    items = [2, 2, 2]
    items[bad] = 1
    run = Driver(split(f"mode: {mode}"), {"items": items}).work(w=refuse_odd)
    assert (run.ended, run.error.type, run.error.node) == ("failed", "odd", "w")
    assert f"item {bad}" in run.error.message


def test_the_other_items_are_cancelled_when_one_fails() -> None:
    run = Driver(split(), {"items": [1, 2, 3]})
    run.fail("w[1]")
    assert run.statuses("w[0]", "w[1]", "w[2]") == ["cancelled", "failed", "cancelled"]


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_split_that_collects_puts_the_error_in_the_items_place(mode: str) -> None:
    run = Driver(split(f"mode: {mode}, on_item_error: collect"), {"items": [1, 2, 3]}).work(w=refuse_odd)
    assert [result["error"]["type"] if isinstance(result, dict) else result for result in run.value] == ["odd", 20, "odd"]


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_split_that_skips_leaves_failed_items_out(mode: str) -> None:
    run = Driver(split(f"mode: {mode}, on_item_error: skip"), {"items": [1, 2, 3, 4]}).work(w=refuse_odd)
    assert run.value == [20, 40]


def test_a_split_whose_items_all_fail_is_done_with_an_empty_list_when_it_skips() -> None:
    assert Driver(split("on_item_error: skip"), {"items": [1, 3]}).work(w=refuse_odd).value == []


def test_two_nodes_of_one_item_that_fail_count_as_one_failed_item() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, on_item_error: collect}}, a: {type: x.a}, b: {type: x.b}}
        edges: [{from: s.item, to: a}, {from: s.item, to: b}]
        """
    run = Driver(flow, [1, 2])
    run.fail("b[0]")
    assert sorted(run.open) == ["a[1]", "b[1]"]
    run.complete("a[1]", "a")
    run.complete("b[1]", "b")
    assert [sorted(result) for result in run.value] == [["error"], ["a", "b"]]


def test_a_split_is_tried_again_as_a_whole() -> None:
    run = Driver(split("mode: sequential", ", retry: {max_attempts: 2, jitter: false, initial_delay_ms: 50}"), {"items": [2, 4]})
    run.complete("w[0]", 1)
    run.fail("w[1]")
    assert run.due_in("s", "retry") == 50
    run.fire("s", "retry")
    assert list(run.open) == ["w[0]"]
    assert run.work(w=lambda v: v).value == [2, 4]


def test_a_body_with_several_ends_gives_a_map_per_item() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $}}, sw: {type: std::switch, config: {condition: "${n} > 1"}}, a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}
        edges: [{from: s.item, to: sw}, {from: sw.true, to: a}, {from: sw.false, to: b}, {from: s.item, to: c}]
        """
    run = Driver(flow, [{"n": 1}, {"n": 2}]).work(a=lambda v: "a", b=lambda v: "b", c=lambda v: "c")
    assert run.value == [{"b": "b", "c": "c"}, {"a": "a", "c": "c"}]


CLOSING = """
    nodes: {s: {type: std::split, config: {field: $, on_item_error: skip}}, w: {type: x.w}, join: {type: std::merge}, after: {type: x.after}, done: {type: x.d}}
    edges: [{from: s.item, to: w}, {from: w, to: join}, {from: join, to: after}, {from: s.done, to: done}]
    """


def test_the_first_merge_of_a_body_closes_it_and_runs_once() -> None:
    run = Driver(CLOSING, [2, 3, 4])
    run.work(w=refuse_odd)
    assert run.dispatched("after") == ["after"]
    assert run.output("join") == {"w": [20, 40]}
    assert run.value == {"after": {"w": [20, 40]}, "done": [20, 40]}


def test_the_closing_merge_also_runs_when_there_are_no_items() -> None:
    run = Driver(CLOSING, []).work()
    assert run.output("join") == {"w": []}
    assert run.value == {"after": {"w": []}, "done": []}


def test_a_split_without_a_body_gives_a_null_per_item() -> None:
    flow = "nodes: {s: {type: std::split, config: {field: $}}, after: {type: x.a}}\nedges: [{from: s.done, to: after}]"
    assert Driver(flow, [1, 2]).work().value == [None, None]


NESTED = """
    nodes:
      outer: {type: std::split, config: {field: $, mode: parallel}}
      inner: {type: std::split, config: {field: $, mode: parallel}}
      w: {type: x.w}
    edges: [{from: outer.item, to: inner}, {from: inner.item, to: w}]
    """


def test_a_split_in_a_split_gives_lists_of_lists() -> None:
    run = Driver(NESTED, [[1, 2], [], [3]])
    assert list(run.open) == ["w[0][0]", "w[0][1]", "w[2][0]"]
    assert run.work(w=lambda v: -v).value == [[-1, -2], [], [-3]]


def test_the_listing_names_every_iteration_and_the_split_once() -> None:
    run = Driver(NESTED, [[1, 2], [3]]).work()
    assert set(nodes(run.run)) == {"outer", "inner[0]", "inner[1]", "w[0][0]", "w[0][1]", "w[1][0]"}


def test_a_loop_in_a_split_loops_for_each_item() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, l: {type: std::loop, config: {max_iterations: 9, condition: "${n} >= 3"}}, w: {type: x.w}}
        edges: [{from: s.item, to: l}, {from: l.continue, to: w}, {from: w, to: l, loop_back: true}]
        """
    run = Driver(flow, [{"n": 0}, {"n": 2}, {"n": 5}]).work(w=lambda v: {"n": v["n"] + 1})
    assert run.value == [{"n": 3}, {"n": 3}, {"n": 5}]
    assert sorted(run.dispatched("w")) == ["w[0][0]", "w[0][1]", "w[0][2]", "w[1][0]"]


def test_a_split_in_a_loop_splits_in_each_iteration() -> None:
    flow = """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, s: {type: std::split, config: {field: $}}, w: {type: x.w}, d: {type: x.d}}
        edges: [{from: l.continue, to: s}, {from: s.item, to: w}, {from: s.done, to: l, loop_back: true}, {from: l.exit, to: d}]
        """
    run = Driver(flow, [1, 2]).work(w=lambda v: v * 10)
    assert run.value == [100, 200]


def test_the_values_of_a_body_are_read_in_their_own_item() -> None:
    flow = """
        nodes:
          s: {type: std::split, config: {field: $, mode: parallel}}
          a: {type: x.a}
          t: {type: std::delay, config: {duration_ms: "${a.ms}"}}
        edges: [{from: s.item, to: a}, {from: a, to: t}]
        """
    run = Driver(flow, [{"ms": 5}, {"ms": 70}])
    run.complete("a[1]", {"ms": 70})
    run.complete("a[0]", {"ms": 5})
    assert (run.due_in("t[0]", "delay"), run.due_in("t[1]", "delay")) == (5, 70)


def test_an_item_that_waits_does_not_hold_up_the_others() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, q: {type: std::wait, config: {signal: "go-${iteration}"}}}
        edges: [{from: s.item, to: q}]
        """
    run = Driver(flow, ["a", "b"])
    run.signal("go-1", "second")
    run.signal("go-0", "first")
    assert [result["response"] for result in run.value] == ["first", "second"]

"""Values that lie elsewhere: the engine hands refs on, never looks into one, and never guesses."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.engine import blocked_on, digest, outstanding, restore, snapshot, wants
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import Await, CancelTask, StartChild
from jetfleet.schemas.errors import EventRejected
from jetfleet.schemas.plan.events import check_event
from jetfleet.schemas.ref import Coded

from .driving import Driver, compiled
from .refs import a_ref

SWITCHED = """
    nodes:
      a: {type: x.a}
      s: {type: std::switch, config: {condition: "order.total > 100"}}
      y: {type: x.y}
      n: {type: x.n}
    edges: [{from: a, to: s}, {from: s.true, to: y}, {from: s.false, to: n}]
    """
LOOPED = "{from: l.continue, to: s}, {from: s.true, to: a}, {from: a, to: l}"
MERGED = """
    nodes:
      a: {type: x.a}
      b: {type: x.b}
      c: {type: x.c}
      m: {type: std::merge, config: {strategy: count, count: 2, output: deep_merge}}
    edges: [{from: a, to: m}, {from: b, to: m}, {from: c, to: m}]
    """


# --- what a worker decides


def test_a_switch_on_a_value_that_lies_elsewhere_is_decided_by_a_worker() -> None:
    run = Driver(SWITCHED)
    value = {"order": a_ref(run, "a"), "id": 7}
    run.complete("a", value)
    assert list(run.open) == ["s"] and run.input("s") == value
    run.complete("s", "whatever the worker sends along", port="false")
    assert list(run.open) == ["n"] and run.input("n") == value


def test_a_switch_on_what_is_at_hand_beside_a_ref_is_decided_at_once() -> None:
    run = Driver(SWITCHED)
    run.complete("a", {"order": {"total": 120, "rows": a_ref(run, "a")}})
    assert list(run.open) == ["y"]


def test_a_switch_on_a_field_of_an_inline_array_is_decided_by_a_worker() -> None:
    run = Driver(SWITCHED)
    run.complete("a", {"order": Coded("numpy", b"meta", b"body of an array")})
    assert list(run.open) == ["s"]


def test_a_switch_that_compares_with_a_value_elsewhere_gets_it_with_its_task() -> None:
    run = Driver(
        """
        nodes:
          a: {type: x.a}
          b: {type: x.b}
          s: {type: std::switch, config: {condition: {type: equals, field: n, value: "${a.limit}"}}}
        edges: [{from: a, to: b}, {from: b, to: s}]
        """
    )
    limits = a_ref(run, "a")
    run.complete("a", limits)
    run.complete("b", {"n": 5})
    (needed,) = run.open["s"].needs
    assert payloads.decode(needed) == limits
    run.complete("s", port="true")
    assert run.value == {"n": 5}


def test_a_switch_that_is_out_is_like_any_task_that_is_out() -> None:
    run = Driver(SWITCHED)
    run.complete("a", {"order": a_ref(run, "a")})
    task = run.open["s"]
    assert run.status("s") == "running" and wants(run.run, task.activation, 1) and outstanding(run.run) == [task]
    assert [(blocked.node, blocked.reason) for blocked in blocked_on(run.run)] == [("s", "task")]
    restored = restore(run.plan, snapshot(run.run))
    assert digest(restored) == digest(run.run) and outstanding(restored) == [task]
    run.cancel()
    assert run.ended == "cancelled" and len(run.all(CancelTask)) == 1 and not wants(run.run, task.activation, 1)


@pytest.mark.parametrize(
    ("nodes", "edges", "queue"),
    [
        ("a: {type: x.a, queue: gpu}, s: SWITCH", "{from: a, to: s}", "gpu"),
        (
            "a: {type: x.a, queue: gpu}, w: {type: std::delay, config: {duration_ms: 1}}, s: SWITCH",
            "{from: a, to: w}, {from: w, to: s}",
            "gpu",
        ),
        ("a: {type: x.a, queue: gpu}, s: {type: std::switch, queue: small, config: {condition: n > 1}}", "{from: a, to: s}", "small"),
        ("z: {type: x.z, queue: far}, a: {type: x.a}, s: SWITCH", "{from: z, to: a}, {from: a, to: s}", None),
        ("s: SWITCH, a: {type: x.a, queue: gpu}", "{from: s.true, to: a}", "gpu"),
        ("l: {type: std::loop, config: {max_iterations: 2}}, s: SWITCH, a: {type: x.a, queue: gpu}", LOOPED, "gpu"),
        ("s: SWITCH", "", None),
    ],
)
def test_a_switch_is_decided_by_workers_of_the_task_before_it_or_of_its_flow(nodes: str, edges: str, queue: str | None) -> None:
    nodes = nodes.replace("SWITCH", '{type: std::switch, config: {condition: "n > 1"}}')
    plan = compiled(f"nodes: {{{nodes}}}\nedges: [{edges}]")
    assert plan.nodes[plan.by_id["s"]].queue == queue


def test_why_a_switch_waits_names_its_queue_and_what_for() -> None:
    run = Driver(SWITCHED.replace("{type: x.a}", "{type: x.a, queue: gpu}"))
    run.complete("a", {"order": a_ref(run, "a")})
    (blocked,) = blocked_on(run.run)
    assert "queue gpu" in blocked.detail and "lies elsewhere" in blocked.detail


def test_a_switch_that_failed_on_its_worker_is_tried_again_by_its_retry_policy() -> None:
    run = Driver(SWITCHED.replace('total > 100"}', 'total > 100"}, retry: {max_attempts: 2, jitter: false}'))
    run.complete("a", {"order": a_ref(run, "a")})
    run.fail("s", "payload_elsewhere")
    run.fire("s", "retry")
    assert run.open["s"].attempt == 2
    run.complete("s", port="true")
    assert list(run.open) == ["y"]


def test_a_worker_can_send_a_switch_by_no_port_that_it_does_not_have() -> None:
    run = Driver(SWITCHED)
    run.complete("a", {"order": a_ref(run, "a")})
    run.complete("s", port="out")
    assert (run.ended, run.error.type) == ("failed", "unknown_port")


def test_a_deep_merge_of_maps_elsewhere_is_done_by_a_worker_with_what_had_arrived() -> None:
    run = Driver(MERGED)
    first = {"a": a_ref(run, "a")}
    run.complete("a", first)
    run.complete("b", {"a": {"x": 1}})
    task = run.open["m"]
    assert run.input("m") == [first, {"a": {"x": 1}}]
    run.complete("c", {"late": True})
    assert outstanding(restore(run.plan, snapshot(run.run))) == [task]
    run.complete("m", {"a": {"x": 1, "y": 2}})
    assert run.value == {"a": {"x": 1, "y": 2}}


def test_a_deep_merge_hands_refs_on_that_meet_nothing() -> None:
    run = Driver(MERGED)
    big = a_ref(run, "a")
    run.complete("a", {"rows": big, "n": 1})
    run.complete("b", {"n": 2})
    assert run.value == {"rows": big, "n": 2} if run.complete("c") is not None else False


# --- what nobody can decide is an error with the place and the way out


@pytest.mark.parametrize(
    ("node", "named"),
    [
        ('{type: std::delay, config: {duration_ms: "${a.rows.n}"}}', "${a.rows.n}"),
        ('{type: std::wait, config: {signal: "order-${a.rows.id}"}}', "${a.rows.id}"),
        ('{type: std::wait, config: {event: paid, correlate: {id: "${a.rows.id}"}}}', "${a.rows.id}"),
        ('{type: std::emit, config: {subject: "orders.${a.rows.id}"}}', "${a.rows.id}"),
        ('{type: std::subflow, config: {flow: other, version: "${a.rows.version}"}}', "${a.rows.version}"),
        ('{type: std::raise, config: {type: t, message: "no ${a.rows.id}"}}', "${a.rows.id}"),
        ('{type: std::raise, config: {type: t, message: m, details: "${a.rows}"}}', "${a.rows}"),
    ],
)
def test_a_node_that_needs_a_value_elsewhere_for_itself_fails_and_says_which(node: str, named: str) -> None:
    run = Driver(f"nodes: {{a: {{type: x.a}}, n: {node}}}\nedges: [{{from: a, to: n}}]")
    run.complete("a", {"rows": a_ref(run, "a")})
    assert (run.ended, run.error.type, run.error.retryable) == ("failed", "value_elsewhere", False)
    assert run.error.node == "n" and named in run.error.message and "payloads.inline_max" in run.error.message


def test_such_an_error_goes_by_the_error_edge_as_any() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, d: {type: std::delay, config: {duration_ms: "${a.n}"}}, h: {type: x.h}}
        edges: [{from: a, to: d}, {from: d.error, to: h}]
        """
    )
    run.complete("a", a_ref(run, "a"))
    assert list(run.open) == ["h"] and run.input("h")["type"] == "value_elsewhere"


def test_refs_pass_where_the_engine_only_hands_them_on() -> None:
    run = Driver(
        """
        nodes:
          a: {type: x.a}
          w: {type: std::wait, config: {hook_id: h, metadata_fields: [rows.name]}}
          c: {type: std::subflow, config: {flow: other, input: {rows: "${a.rows}"}}}
          e: {type: std::emit, config: {subject: s, payload: "${a.rows[3]}"}}
        edges: [{from: a, to: w}, {from: w, to: c}, {from: c, to: e}]
        """
    )
    rows = a_ref(run, "a", items=5)
    run.complete("a", {"rows": rows})
    assert payloads.decode(run.all(Await)[0].metadata) == {"name": rows.at(("name",))}
    run.signal("h", {"decision": "approve"})
    assert payloads.decode(run.all(StartChild)[0].input) == {"rows": rows}
    run.child_ended("c", rows)
    assert payloads.decode(run.all(type(run.effects[-2]))[-1].payload) == rows.at((3,))
    assert run.value == rows


def test_a_loop_whose_condition_looks_elsewhere_fails_and_says_what_to_write_instead() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, l: {type: std::loop, config: {max_iterations: 3, until_expression: "done"}}, b: {type: x.b}}
        edges: [{from: a, to: l}, {from: l.continue, to: b}, {from: b, to: l}]
        """
    )
    run.complete("a", {"done": False})
    run.complete("b[0]", a_ref(run, "b[0]"))
    assert (run.ended, run.error.type, run.error.node) == ("failed", "value_elsewhere", "l")
    assert "`done`" in run.error.message and "std::switch" in run.error.message


CONDITIONAL = """
    nodes: {a: {type: x.a}, b: {type: x.b}}
    edges: [{from: a, to: b, condition: "total > 5"}]
    """


def test_an_edge_whose_condition_looks_elsewhere_is_never_silently_dead() -> None:
    run = Driver(CONDITIONAL)
    run.complete("a", a_ref(run, "a"))
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")
    assert run.status("a") == "completed" and "'a' to 'b'" in run.error.message and "std::switch" in run.error.message


def test_the_work_before_such_an_edge_is_undone() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a, compensate: u}, b: {type: x.b}, u: {type: x.u}, h: {type: x.h}}
        scopes: {g: {nodes: [a, b], compensate: reverse, on_error: h}}
        edges: [{from: a, to: b, condition: "total > 5"}]
        """
    )
    run.complete("a", a_ref(run, "a"))
    assert list(run.open) == ["u"]
    run.complete("u")
    assert list(run.open) == ["h"] and run.input("h")["type"] == "value_elsewhere"


def test_an_edge_out_of_a_scope_that_looks_elsewhere_fails_the_run_after_the_scope_is_done() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}}
        scopes: {g: {nodes: [a]}}
        edges: [{from: a, to: b, condition: "total > 5"}]
        """
    )
    run.complete("a", a_ref(run, "a"))
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")


def test_an_item_whose_edge_looks_elsewhere_fails_as_an_item() -> None:
    run = Driver(
        """
        nodes:
          s: {type: std::split, config: {field: $, on_item_error: collect}}
          a: {type: x.a}
          b: {type: x.b}
        edges: [{from: s.item, to: a}, {from: a, to: b, condition: "total > 5"}]
        """,
        [1],
    )
    run.complete("a[0]", a_ref(run, "a[0]"))
    assert [item["error"]["type"] for item in run.value] == ["value_elsewhere"]


def test_a_trigger_edge_that_looks_elsewhere_fails_the_run() -> None:
    flow = """
        triggers: [{id: t, type: manual}]
        nodes: {a: {type: x.a}}
        edges: [{from: t, to: a, condition: "total > 5"}]
        """
    run = Driver(flow, a_ref(), trigger="t")
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")


def test_an_event_that_cannot_be_correlated_here_ends_the_wait_with_an_error() -> None:
    run = Driver("nodes: {w: {type: std::wait, config: {event: paid, correlate: {order.id: o-1}}}}")
    run.event("paid", {"order": a_ref()})
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere") and "`order.id`" in run.error.message


def test_an_output_that_makes_a_text_of_a_value_elsewhere_fails_the_run() -> None:
    run = Driver('nodes: {a: {type: x.a}}\noutputs: {text: "so: ${a}"}')
    run.complete("a", a_ref(run, "a"))
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")


# --- splits


SPLIT = """
    nodes:
      a: {type: x.a}
      s: {type: std::split, config: {field: rows, mode: parallel, max_parallel: 2}}
      w: {type: x.w}
    edges: [{from: a, to: s}, {from: s.item, to: w}]
    """


def test_a_split_over_a_list_elsewhere_hands_out_refs_to_its_items_one_by_one() -> None:
    run = Driver(SPLIT)
    rows = a_ref(run, "a", items=3)
    run.complete("a", {"rows": rows})
    assert [run.input(name) for name in run.open] == [rows.at((0,)), rows.at((1,))]
    run.complete("w[0]", 0)
    assert run.input("w[2]") == rows.at((2,))
    run.complete("w[2]", 2)
    run.complete("w[1]", 1)
    assert run.value == [0, 1, 2]


def test_a_split_over_a_list_elsewhere_goes_on_from_a_snapshot() -> None:
    run = Driver(SPLIT)
    rows = a_ref(run, "a", items=5)
    run.complete("a", {"rows": rows})
    run.complete("w[1]", 1)
    other = restore(run.plan, snapshot(run.run))
    assert outstanding(other) == outstanding(run.run)
    run.run = other
    run.work(w=lambda item: list(item.path))
    assert run.value == [[0], 1, [2], [3], [4]]


def test_batches_of_a_list_elsewhere_are_lists_of_refs() -> None:
    run = Driver(SPLIT.replace("mode: parallel, max_parallel: 2", "mode: batched, batch_size: 2"))
    rows = a_ref(run, "a", items=3)
    run.complete("a", {"rows": rows})
    assert run.input("w[0]") == [rows.at((0,)), rows.at((1,))]
    run.complete("w[0]")
    assert run.input("w[1]") == [rows.at((2,))]


def small_array(items: int | None) -> Coded:
    """An array that is small enough to travel inside the payload."""
    return Coded("numpy", b"meta", b"body of an array", count=items)


def test_a_split_over_a_small_array_hands_out_its_items_and_goes_on_from_a_snapshot() -> None:
    run = Driver(SPLIT.replace("field: rows", "field: deep.rows"))
    rows = small_array(4)
    run.complete("a", {"deep": {"rows": rows}})
    assert [run.input(name) for name in run.open] == [rows.at((0,)), rows.at((1,))]
    run.complete("w[1]", 1)
    other = restore(run.plan, snapshot(run.run))
    assert digest(other) == digest(run.run) and outstanding(other) == outstanding(run.run)
    run.run = other
    run.work(w=lambda item: list(item.path))
    assert run.value == [[0], 1, [2], [3]]


def test_batches_of_a_small_array_are_lists_of_its_items() -> None:
    run = Driver(SPLIT.replace("mode: parallel, max_parallel: 2", "mode: batched, batch_size: 2"))
    rows = small_array(3)
    run.complete("a", {"rows": rows})
    assert run.input("w[0]") == [rows.at((0,)), rows.at((1,))]
    run.complete("w[0]")
    assert run.input("w[1]") == [rows.at((2,))]


@pytest.mark.parametrize("value", [small_array(None), 5, {}])
def test_a_split_over_what_is_known_to_be_no_list_says_so(value: Any) -> None:
    run = Driver(SPLIT)
    run.complete("a", {"rows": value})
    assert (run.ended, run.error.type) == ("failed", "not_a_list")


def test_a_split_over_what_is_inside_a_small_array_is_not_known_to_be_one() -> None:
    run = Driver(SPLIT)
    run.complete("a", small_array(4))
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")


@pytest.mark.parametrize("rows", [small_array(0), a_ref(items=0)])
def test_a_split_over_no_items_elsewhere_is_done_at_once(rows: Any) -> None:
    run = Driver(SPLIT)
    run.complete("a", {"rows": rows})
    assert run.value == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_split_over_what_is_not_known_to_be_a_list_fails_and_says_how_to_make_it_known(inside: bool) -> None:
    run = Driver(SPLIT)
    run.complete("a", a_ref(run, "a", items=9) if inside else {"rows": a_ref(run, "a")})
    assert (run.ended, run.error.type) == ("failed", "value_elsewhere")
    assert "`rows`" in run.error.message and "counts its items" in run.error.message


# --- events


INPUTS: dict[str, Any] = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "object"}, "n": {"type": "integer"}, "image": {"type": "string"}},
    "anyOf": [{"properties": {"order": {"required": ["id"]}}}],
}


def test_what_lies_elsewhere_counts_as_valid_and_the_rest_of_an_event_is_checked() -> None:
    plan = compiled({"nodes": {"a": {"type": "x.a"}}, "inputs": INPUTS})
    check_event(plan, {"order": a_ref(), "n": 1, "image": Coded("image", b"", b"")})
    check_event(plan, a_ref())
    with pytest.raises(EventRejected, match=r"n: .*integer"):
        check_event(plan, {"order": a_ref(), "n": "one"})
    with pytest.raises(EventRejected, match="order"):
        check_event(plan, {"image": a_ref()})

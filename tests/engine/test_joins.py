"""What a node receives, when a join is satisfied, and what a run puts out."""

from __future__ import annotations

import pytest

from jetfleet.broker.engine import nodes

from .driving import Driver

BRANCH = """
    nodes:
      big: {type: std::switch, config: {condition: n > 3}}
      yes: {type: x.yes}
      no: {type: x.no}
      join: {type: std::merge, config: {%s}}
    edges:
      - {from: big.true, to: yes}
      - {from: big.false, to: no}
      - {from: yes, to: join}
      - {from: no, to: join}
    """

THREE = """
    nodes:
      a: {type: x.a}
      b: {type: x.b}
      c: {type: x.c}
      join: {type: std::merge, config: {%s}}
      after: {type: x.after}
    edges:
      - {from: a, to: join}
      - {from: b, to: join}
      - {from: c, to: join}
      - {from: join, to: after}
    """


# --- joins


def test_a_merge_behind_a_switch_fires_with_the_one_branch_that_was_taken() -> None:
    run = Driver(BRANCH % "", {"n": 5}).work()
    assert run.value == {"yes": {"n": 5}}
    assert run.statuses("yes", "no", "join") == ["completed", "skipped", "completed"]


def test_a_null_input_takes_the_false_branch() -> None:
    assert Driver(BRANCH % "", None).work().status("no") == "completed"


def test_skipping_spreads_to_everything_that_hangs_on_the_dead_branch_alone() -> None:
    run = Driver(
        """
        nodes:
          s: {type: std::switch, config: {condition: ok}}
          a: {type: x.a}
          b: {type: x.b}
          c: {type: x.c}
        edges: [{from: s.true, to: a}, {from: a, to: b}, {from: b, to: c}, {from: s.false, to: c}]
        """,
        {"ok": False},
    ).work()
    assert run.statuses("a", "b", "c") == ["skipped", "skipped", "completed"]
    assert run.value == {"ok": False}


def test_a_skipped_node_is_listed_without_port_and_without_attempts() -> None:
    view = nodes(Driver(BRANCH % "", {"n": 5}).work().run)["no"]
    assert (view.status, view.port, view.attempts) == ("skipped", None, 0)


def test_a_merge_of_all_waits_for_all_and_gives_a_map_in_declared_order() -> None:
    run = Driver(THREE % "")
    run.complete("c", 3)
    run.complete("a", 1)
    assert run.status("join") == "pending"
    run.complete("b", 2)
    run.work()
    assert list(run.value.items()) == [("a", 1), ("b", 2), ("c", 3)]


def test_a_merge_of_any_passes_the_first_value_itself() -> None:
    run = Driver(THREE % "strategy: any")
    run.complete("b", 2)
    assert run.input("after") == 2


def test_a_merge_of_any_leaves_the_others_running_and_the_run_ends_when_they_have() -> None:
    run = Driver(THREE % "strategy: any")
    run.complete("b", 2)
    run.complete("after", "done")
    assert run.ended == ""
    run.complete("a")
    run.complete("c")
    assert run.value == "done"
    assert run.dispatched("after") == ["after"]


def test_a_merge_of_any_that_cancels_the_others_ends_their_tasks() -> None:
    run = Driver(THREE % "strategy: any, cancel_others: true")
    run.complete("b", 2)
    assert sorted(run.open) == ["after"]
    assert run.statuses("a", "b", "c") == ["cancelled", "completed", "cancelled"]
    assert run.work().value == 2


def test_cancelling_others_reaches_the_nodes_before_them_that_lead_nowhere_else() -> None:
    run = Driver(
        """
        nodes:
          a: {type: x.a}
          b: {type: x.b}
          b2: {type: x.b}
          other: {type: x.o}
          shared: {type: x.s}
          after: {type: x.after}
          join: {type: std::merge, config: {strategy: any, cancel_others: true}}
        edges:
          - {from: a, to: join}
          - {from: b, to: b2}
          - {from: b2, to: join}
          - {from: shared, to: join}
          - {from: shared, to: other}
          - {from: join, to: after}
        """
    )
    run.complete("a", 1)
    assert run.statuses("b", "b2", "shared") == ["cancelled", "skipped", "running"]


def test_branches_of_a_body_can_be_cancelled_by_a_merge_in_it() -> None:
    flow = """
        nodes:
          l: {type: std::loop, config: {max_iterations: 2}}
          a: {type: x.a}
          b: {type: x.b}
          join: {type: std::merge, config: {strategy: any, cancel_others: true}}
        edges:
          - {from: l.continue, to: a}
          - {from: l.continue, to: b}
          - {from: a, to: join}
          - {from: b, to: join}
          - {from: join, to: l, loop_back: true}
        """
    run = Driver(flow, 0)
    run.complete("b[0]", 1)
    assert sorted(run.open) == ["a[1]", "b[1]"] and run.status("a[0]") == "cancelled"
    run.complete("a[1]", 2)
    assert run.value == 2


def test_a_merge_of_a_count_gives_the_map_of_those_that_had_come() -> None:
    run = Driver(THREE % "strategy: count, count: 2")
    run.complete("c", 3)
    assert "after" not in run.open
    run.complete("a", 1)
    assert list(run.input("after").items()) == [("a", 1), ("c", 3)]
    run.complete("b")
    assert run.work().dispatched("after") == ["after"]


def test_a_merge_of_a_count_takes_what_there_is_when_no_more_can_come() -> None:
    run = Driver(BRANCH % "strategy: count, count: 2", {"n": 1}).work()
    assert run.value == {"no": {"n": 1}}


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("map", {"a": {"x": {"p": 1}, "y": 1}, "b": {"x": {"q": 2}, "y": 2}, "c": {}}),
        ("list", [{"x": {"p": 1}, "y": 1}, {"x": {"q": 2}, "y": 2}, {}]),
        ("first", {"x": {"p": 1}, "y": 1}),
        ("deep_merge", {"x": {"p": 1, "q": 2}, "y": 2}),
    ],
)
def test_a_merge_can_be_told_the_form_of_its_output(output: str, value: object) -> None:
    run = Driver(THREE % f"output: {output}")
    for name, given in (("c", {}), ("b", {"x": {"q": 2}, "y": 2}), ("a", {"x": {"p": 1}, "y": 1})):
        run.complete(name, given)
    assert run.input("after") == value


def test_a_merge_of_any_can_give_a_map_too() -> None:
    run = Driver(THREE % "strategy: any, output: map")
    run.complete("c", 3)
    assert run.input("after") == {"c": 3}


# --- inputs


def test_a_node_with_several_live_inputs_gets_a_map_by_their_sources() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}
        edges: [{from: b, to: c}, {from: a, to: c}]
        """
    )
    run.complete("a", 1)
    run.complete("b", 2)
    assert list(run.input("c").items()) == [("b", 2), ("a", 1)]


def test_a_node_that_feeds_another_twice_is_told_apart_by_its_ports() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}
        edges: [{from: a.left, to: c}, {from: a.right, to: c}, {from: b, to: c}]
        """
    )
    run.complete("a", 1, port="left")
    run.complete("b", 2)
    assert run.input("c") == {"a.left": 1, "b": 2}


def test_an_edge_whose_condition_does_not_hold_is_dead() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}
        edges: [{from: a, to: b, condition: "${n} > 1"}, {from: a, to: c, condition: "${n} <= 1"}]
        """,
        {"n": 1},
    ).work()
    assert run.statuses("b", "c") == ["skipped", "completed"]


def test_an_unknown_port_of_a_completion_fails_the_attempt() -> None:
    run = Driver("nodes: {a: {type: std::log, config: {message: hi}}}")
    run.complete("a", 1, port="sideways")
    assert run.error.type == "unknown_port"


# --- outputs


def test_the_output_of_a_run_with_one_end_is_the_value_of_that_end() -> None:
    assert Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: [{from: a, to: b}]").work(b=lambda v: "end").value == "end"


def test_the_output_of_a_run_with_one_end_that_was_skipped_is_null() -> None:
    flow = "nodes: {s: {type: std::switch, config: {condition: ok}}, a: {type: x.a}}\nedges: [{from: s.true, to: a}]"
    assert Driver(flow, {"ok": False}).work().value is None


def test_the_output_of_a_run_with_several_ends_is_a_map_without_the_skipped_ones() -> None:
    flow = """
        nodes: {s: {type: std::switch, config: {condition: ok}}, a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}
        edges: [{from: s.true, to: a}, {from: s.false, to: b}, {from: s.true, to: c}]
        """
    assert Driver(flow, {"ok": True}).work(a=lambda v: 1, c=lambda v: 3).value == {"a": 1, "c": 3}


def test_declared_outputs_keep_the_types_of_their_selectors() -> None:
    flow = """
        outputs: {n: "${a.n}", text: "n=${a.n}", skipped: "${b}", in_text: "<${b.x}>", run: "${trace_id}"}
        nodes: {a: {type: x.a}, s: {type: std::switch, config: {condition: ok}}, b: {type: x.b}}
        edges: [{from: a, to: s}, {from: s.true, to: b}]
        """
    run = Driver(flow, {"n": 2}).work()
    assert run.value == {"n": 2, "text": "n=2", "skipped": None, "in_text": "<>", "run": "r1"}


def test_error_handlers_and_scopes_do_not_change_what_an_end_is() -> None:
    flow = """
        nodes: {a: {type: x.a}, rescue: {type: x.r}}
        edges: [{from: a.error, to: rescue}]
        """
    run = Driver(flow, 1).work(a=lambda v: 2)
    assert run.value == {"a": 2}


# --- triggers and disabled nodes


FAN_IN = """
    triggers: [{id: web, type: manual}, {id: clock, type: manual}, {id: off, type: manual, enabled: false}]
    nodes: {a: {type: x.a}, only_web: {type: x.w}, only_off: {type: x.o}, join: {type: std::merge}}
    edges:
      - {from: web, to: a}
      - {from: clock, to: a}
      - {from: web, to: only_web}
      - {from: off, to: only_off}
      - {from: a, to: join}
      - {from: only_web, to: join}
      - {from: only_off, to: join}
    """


def test_only_the_trigger_that_fired_is_active() -> None:
    run = Driver(FAN_IN, 7, trigger="clock").work()
    assert run.statuses("a", "only_web", "only_off") == ["completed", "skipped", "skipped"]
    assert run.value == {"a": 7}


def test_a_disabled_trigger_leads_nowhere() -> None:
    assert Driver(FAN_IN, 7, trigger="off").statuses("a", "only_web", "only_off", "join") == ["skipped"] * 4


def test_a_run_without_a_trigger_starts_at_the_entry_nodes() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}, c: {type: x.c}}\nedges: [{from: a, to: c}]", 1)
    assert sorted(run.open) == ["a", "b"]


def test_a_disabled_node_is_skipped_with_what_hangs_on_it_alone() -> None:
    flow = """
        nodes: {a: {type: x.a}, off: {type: x.off, enabled: false}, b: {type: x.b}, join: {type: std::merge}}
        edges: [{from: a, to: off}, {from: off, to: b}, {from: b, to: join}, {from: a, to: join}]
        """
    run = Driver(flow, 1).work()
    assert run.statuses("off", "b", "join") == ["skipped", "skipped", "completed"]
    assert run.value == {"a": 1}


def test_a_node_before_a_disabled_one_is_an_end() -> None:
    assert Driver("nodes: {a: {type: x.a}, off: {type: x.o, enabled: false}}\nedges: [{from: a, to: off}]", 4).work().value == 4


def test_what_hangs_on_a_disabled_node_alone_is_no_end() -> None:
    flow = """
        nodes: {a: {type: x.a}, off: {type: x.o, enabled: false}, b: {type: x.b}}
        edges: [{from: a, to: off}, {from: off, to: b}]
        """
    assert Driver(flow, 4).work().value == 4


def test_a_disabled_loop_or_split_is_skipped_with_its_body() -> None:
    flow = """
        nodes: {s: {type: std::split, enabled: false, config: {field: $}}, w: {type: x.w}, m: {type: std::merge}, d: {type: x.d}}
        edges: [{from: s.item, to: w}, {from: w, to: m}, {from: s.done, to: d}]
        """
    run = Driver(flow, [1, 2]).work()
    assert run.ended == "completed" and run.statuses("s", "m", "d") == ["skipped"] * 3


def test_a_selector_to_a_failed_node_is_null_but_for_its_error() -> None:
    flow = """
        outputs: {whole: "${a.n}", what: "${a.error.type}", attempts: "${a.error.attempts}", node: "${a.error.node}"}
        nodes: {a: {type: x.a, retry: {max_attempts: 2}}, b: {type: x.b}}
        edges: [{from: a.error, to: b}]
        """
    run = Driver(flow, {"n": 1})
    run.fail("a")
    run.fire("a", "retry")
    run.fail("a")
    assert run.work().value == {"whole": None, "what": "boom", "attempts": 2, "node": "a"}

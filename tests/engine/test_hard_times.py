"""Hard times: rubbish as values, failures at the worst moment, steering while something is being undone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jetfleet.broker.engine import digest, restore, snapshot
from jetfleet.schemas.records import Completion, TimerFired

from .driving import Driver

UNDONE = """
    nodes:
      a: {type: x.a, compensate: ua}
      b: {type: x.b}
      h: {type: x.h}
      ua: {type: x.ua, retry: {max_attempts: 2, jitter: false}}
    scopes: {g: {nodes: [a, b], compensate: reverse, on_error: h}}
    edges: [{from: a, to: b}]
    """


def raw(run: Driver, name: str, output: bytes) -> None:
    task = run.open.pop(name)
    run.give(Completion("r1", run.now, task.activation, task.attempt, output=output))


def test_a_compensation_that_was_held_by_a_pause_runs_after_a_cancel() -> None:
    run = Driver(UNDONE)
    run.complete("a", 1)
    run.pause()
    run.fail("b")
    run.cancel()
    assert list(run.open) == ["ua"]
    run.work()
    assert run.ended == "cancelled"


def test_a_compensation_whose_next_attempt_was_due_while_paused_is_tried_again_after_a_cancel() -> None:
    run = Driver(UNDONE)
    run.complete("a", 1)
    run.fail("b")
    run.fail("ua")
    run.pause()
    run.fire("ua", "retry")
    run.cancel()
    assert list(run.open) == ["ua"]
    run.work()
    assert run.ended == "cancelled"


def test_a_run_that_fails_in_the_turn_in_which_a_scope_begins_to_undo_still_undoes() -> None:
    run = Driver(
        """
        nodes:
          p: {type: x.p}
          a: {type: x.a, compensate: ua}
          gate: {type: x.gate}
          r1: {type: std::raise, config: {type: one, message: m}}
          r2: {type: std::raise, config: {type: two, message: m}}
          h: {type: x.h}
          ua: {type: x.ua}
        scopes: {g: {nodes: [a, r1], compensate: reverse, on_error: h}}
        edges: [{from: p, to: a}, {from: p, to: gate}, {from: a, to: r1}, {from: gate, to: r1}, {from: gate, to: r2}]
        """
    )
    for name in ("p", "a", "gate"):
        run.complete(name, name)
    assert list(run.open) == ["ua"]
    run.work()
    assert run.ended == "failed"


def test_a_scopes_error_that_its_error_edge_does_not_let_through_fails_the_run() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, h: {type: x.h}}
        scopes: {s: {nodes: [a]}}
        edges: [{from: s.error, to: h, condition: "type == other"}]
        """
    )
    run.fail("a", type="boom")
    assert (run.ended, run.error.type) == ("failed", "boom")


@pytest.mark.parametrize("output", [b"", b"\xc1", b"\x01\x02", b"\x93\x01", b"\x81\xa1a"])
def test_an_output_that_is_no_value_fails_its_attempt_and_touches_nothing_else(output: bytes) -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}, m: {type: std::merge}}\nedges: [{from: a, to: m}, {from: b.error, to: m}]")
    run.complete("a", 1)
    raw(run, "b", output)
    assert run.ended == "completed" and run.value["m"]["a"] == 1
    assert run.value["m"]["b"]["type"] == "unreadable_payload"


@pytest.mark.parametrize("value", [msgspec.msgpack.Ext(1, b"ref"), {None: 1}, {1: {2: 3}}])
@pytest.mark.parametrize(
    "node",
    [
        '{type: std::switch, config: {condition: "x == 1"}}',
        "{type: std::switch, config: {condition: {type: equals, field: $, value: 1}}}",
        '{type: std::loop, config: {max_iterations: 2, until_expression: "x == 1"}}',
        '{type: std::wait, config: {signal: "s-${a}"}}',
        '{type: std::emit, config: {subject: "s-${a}"}}',
        '{type: std::delay, config: {duration_ms: "${a}"}}',
    ],
)
def test_no_value_makes_the_engine_raise(node: str, value: Any) -> None:
    back = ", {from: n.continue, to: w}, {from: w, to: n}" if "loop" in node else ""
    body = ", w: {type: x.w}" if "loop" in node else ""
    run = Driver(f"nodes: {{a: {{type: x.a}}, n: {node}{body}}}\nedges: [{{from: a, to: n}}{back}]")
    raw(run, "a", msgspec.msgpack.encode(value))
    assert restore(run.plan, snapshot(run.run)).status == run.run.status


@pytest.mark.parametrize("duration", ["1e999", "nan", 1e30, "9" * 250, -1])
def test_a_delay_of_no_sensible_length_fails_its_attempt(duration: Any) -> None:
    run = Driver('nodes: {a: {type: x.a}, d: {type: std::delay, config: {duration_ms: "${a}"}}}\nedges: [{from: a, to: d}]')
    run.complete("a", duration)
    assert (run.ended, run.error.type) == ("failed", "invalid_config")


def test_a_wish_to_be_tried_again_in_the_farthest_future_can_be_stored() -> None:
    run = Driver("nodes: {a: {type: x.a, retry: {max_attempts: 2}}}")
    run.fail("a", after_ms=2**63)
    assert digest(restore(run.plan, snapshot(run.run))) == digest(run.run)


def test_who_waits_longest_gets_the_signal_also_after_a_restore() -> None:
    run = Driver(
        """
        nodes: {t: {type: x.t}, a: {type: std::wait, config: {signal: s}}, b: {type: std::wait, config: {signal: s}}}
        edges: [{from: t, to: b}, {from: t, to: a}]
        """
    )
    run.complete("t")
    assert restore(run.plan, snapshot(run.run)).rare().awaiting == run.run.rare().awaiting


def test_a_signal_that_is_no_answer_to_an_approval_goes_to_who_waits_for_a_signal_of_that_name() -> None:
    run = Driver(
        """
        nodes: {a: {type: std::wait, config: {hook_id: x}}, b: {type: std::wait, config: {signal: x}}}
        """
    )
    run.signal("x", {"hello": 1})
    assert run.statuses("a", "b") == ["waiting", "completed"]


def test_one_id_may_be_used_for_signals_of_different_names() -> None:
    run = Driver("nodes: {a: {type: std::wait, config: {signal: x}}, b: {type: std::wait, config: {signal: y}}}")
    run.signal("x", 1, id="7")
    run.signal("y", 2, id="7")
    assert run.ended == "completed"


def test_a_timer_of_an_inner_scope_from_before_its_outer_one_was_tried_again_is_stale() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}}
        scopes:
          o: {nodes: [i], retry: {max_attempts: 3, jitter: false}}
          i: {nodes: [a, b], timeout_ms: 1000}
        """
    )
    first = next(effect for effect in run.effects if getattr(effect, "due", None) is not None)
    run.fail("a")
    run.fire("o", "scope_retry")
    ignored = run.ignored
    run.give(TimerFired("r1", run.now, first.timer))
    assert run.ignored == ignored + 1 and sorted(run.open) == ["a", "b"]


def test_a_late_branch_whose_scope_would_be_tried_again_is_given_up() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, m: {type: std::merge, config: {strategy: any, cancel_others: true}}}
        scopes: {g: {nodes: [b], retry: {max_attempts: 2, jitter: false}}}
        edges: [{from: a, to: m}, {from: b, to: m}]
        """
    )
    run.fail("b")
    run.complete("a", 1)
    assert (run.ended, run.value) == ("completed", 1) and run.timer_names() == []


def test_in_a_parallel_scope_a_branch_is_late_wherever_its_edges_lead() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, eb: {type: x.eb}, z: {type: x.z}}
        scopes: {p: {type: parallel, nodes: [a, b], completion: any}}
        edges: [{from: b.error, to: eb}, {from: p, to: z}]
        """
    )
    run.complete("a", 1)
    assert run.status("b") == "cancelled" and list(run.open) == ["z"]


def test_a_record_of_another_run_is_ignored() -> None:
    run = Driver("nodes: {a: {type: x.a}}")
    task = run.open["a"]
    run.give(Completion("r2", run.now, task.activation, 1))
    assert run.ended == "" and run.ignored == 1

"""What happens to a run as a whole: retries, failing fast or finishing, pausing, cancelling, timing out."""

from __future__ import annotations

import pytest

from jetfleet.broker.engine import blocked_on, nodes, restore, snapshot
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import CancelTask, Emit
from jetfleet.schemas.records import Completion, PauseRequested, ResumeRequested, TimerFired, TimerId

from .driving import Driver

ONE = "nodes: {a: {type: x.a, retry: {%s}}}"


# --- retries


def test_delays_between_attempts_grow_to_their_maximum() -> None:
    run = Driver(ONE % "max_attempts: 6, initial_delay_ms: 100, backoff_multiplier: 2, max_delay_ms: 500, jitter: false")
    delays = []
    for _ in range(5):
        run.fail("a")
        delays.append(run.due_in("a", "retry"))
        run.fire("a", "retry")
    assert delays == [100, 200, 400, 500, 500]


def test_jitter_spreads_a_delay_over_its_upper_half_and_is_the_same_each_time() -> None:
    def first_delay() -> int:
        run = Driver(ONE % "max_attempts: 2, initial_delay_ms: 1000")
        run.fail("a")
        return run.due_in("a", "retry")

    assert 500 <= first_delay() <= 1_000 and first_delay() == first_delay()


def test_the_attempts_include_the_first() -> None:
    run = Driver(ONE % "max_attempts: 3")
    for _ in range(2):
        run.fail("a")
        run.fire("a", "retry")
    run.fail("a")
    assert (run.ended, run.error.attempts, len(run.dispatched("a"))) == ("failed", 3, 3)


@pytest.mark.parametrize(("type", "retryable"), [("card_declined", True), ("boom", False)])
def test_some_errors_are_never_tried_again(type: str, retryable: bool) -> None:
    run = Driver(ONE % "max_attempts: 3, non_retryable: [card_declined]")
    run.fail("a", type=type, retryable=retryable)
    assert (run.ended, run.error.attempts) == ("failed", 1)


def test_a_node_can_say_itself_when_it_wants_to_be_tried_again() -> None:
    run = Driver(ONE % "max_attempts: 2, initial_delay_ms: 5")
    run.fail("a", after_ms=123)
    assert run.due_in("a", "retry") == 123


def test_a_completion_of_an_earlier_attempt_is_ignored() -> None:
    run = Driver(ONE % "max_attempts: 2")
    run.fail("a")
    run.fire("a", "retry")
    run.give(Completion("r1", run.now, (0,), 1, output=payloads.encode("late")))
    assert run.ignored == 1
    run.complete("a", "in time")
    assert run.value == "in time"


def test_a_completion_that_comes_twice_is_applied_once() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: [{from: a, to: b}]")
    run.complete("a", 1)
    run.give(run.journal[-1])
    assert (run.ignored, run.input("b"), len(run.dispatched("b"))) == (1, 1, 1)


# --- failing


TWO = """
    settings: {on_failure: %s}
    nodes: {a: {type: x.a}, a2: {type: x.a2}, b: {type: x.b}, b2: {type: x.b2}, join: {type: std::merge}}
    edges: [{from: a, to: a2}, {from: b, to: b2}, {from: a2, to: join}, {from: b2, to: join}]
    """


def test_a_run_that_fails_fast_cancels_the_siblings() -> None:
    run = Driver(TWO % "fail_fast")
    run.fail("a", type="broken")
    assert (run.ended, run.error.type) == ("failed", "broken")
    assert run.statuses("a", "a2", "b", "b2", "join") == ["failed", "skipped", "cancelled", "skipped", "skipped"]
    assert len(run.all(CancelTask)) == 1


def test_a_run_that_finishes_lets_independent_branches_come_to_their_ends() -> None:
    run = Driver(TWO % "finish")
    run.fail("a", type="broken")
    assert run.ended == ""
    run.work()
    assert (run.ended, run.error.type) == ("failed", "broken")
    assert run.statuses("a", "a2", "b2", "join") == ["failed", "skipped", "completed", "completed"]


def test_a_run_that_finishes_keeps_its_first_error() -> None:
    run = Driver(TWO % "finish")
    run.fail("b", type="first")
    run.fail("a", type="second")
    assert run.error.type == "first"


def test_an_error_edge_leads_on_and_the_run_completes() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}, rescue: {type: x.r}}\nedges: [{from: a, to: b}, {from: a.error, to: rescue}]")
    run.fail("a")
    view = nodes(run.run)["a"]
    assert (view.status, view.port) == ("failed", "error") and run.statuses("b", "rescue") == ["skipped", "running"]
    run.work()
    assert run.ended == "completed"


def test_an_error_can_be_raised_and_handled() -> None:
    flow = """
        nodes: {r: {type: std::raise, config: {type: no_stock, message: "none of ${trigger.payload.sku}", details: {n: 1}}}, h: {type: x.h}}
        edges: [{from: r.error, to: h}]
        """
    run = Driver(flow, {"sku": "X"})
    error = run.input("h")
    assert (error["type"], error["message"], error["details"], error["retryable"]) == ("no_stock", "none of X", {"n": 1}, False)


def test_an_event_is_emitted_with_an_id_that_is_always_the_same() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $}}, e: {type: std::emit, config: {subject: "orders.${trace_id}"}}}
        edges: [{from: s.item, to: e}]
        """
    run = Driver(flow, ["x", "y"])
    assert [(emit.subject, payloads.decode(emit.payload), emit.id) for emit in run.all(Emit)] == [
        ("orders.r1", "x", "r1/e[0]"),
        ("orders.r1", "y", "r1/e[1]"),
    ]
    assert run.value == ["x", "y"]


# --- pausing


CHAIN = "nodes: {a: {type: x.a, retry: {max_attempts: 2}}, b: {type: x.b}}\nedges: [{from: a, to: b}]"


def test_a_paused_run_takes_completions_in_and_starts_nothing() -> None:
    run = Driver(CHAIN)
    run.pause()
    run.complete("a", 1)
    assert run.open == {} and run.status("b") == "ready"
    assert [reason.reason for reason in blocked_on(run.run)] == ["paused"]
    run.resume()
    assert run.input("b") == 1


def test_a_paused_run_holds_its_timers_until_it_is_resumed() -> None:
    run = Driver(CHAIN)
    run.fail("a")
    run.pause()
    run.fire("a", "retry")
    assert run.open == {}
    run.resume()
    assert run.open["a"].attempt == 2


def test_a_timer_that_comes_twice_while_paused_is_held_once() -> None:
    run = Driver(CHAIN)
    run.fail("a")
    run.pause()
    run.fire("a", "retry")
    run.give(run.journal[-1])
    run.give(TimerFired("r1", run.now, TimerId((1,), "retry", 1)))
    assert run.ignored == 2
    run.resume()
    assert run.dispatched("a") == ["a", "a"]


def test_a_run_can_be_paused_before_it_starts_anything_more_and_be_cancelled() -> None:
    run = Driver(CHAIN)
    run.pause()
    run.complete("a")
    run.cancel()
    assert run.ended == "cancelled" and run.dispatched("b") == []


def test_pausing_twice_and_resuming_what_is_not_paused_are_ignored() -> None:
    run = Driver(CHAIN)
    run.resume()
    run.pause()
    run.pause()
    assert run.ignored == 2


def test_a_run_that_is_paused_with_its_flow_goes_on_with_it_unless_it_was_paused_by_itself_as_well() -> None:
    run = Driver(CHAIN)
    run.give(PauseRequested("r1", run.now, "the flow is", with_flow=True))
    run.complete("a")
    assert run.run.paused_with_flow and restore(run.run.plan, snapshot(run.run)).paused_with_flow
    run.give(ResumeRequested("r1", run.now, with_flow=True))
    assert run.dispatched("b") == ["b"] and not run.run.paused_with_flow and run.ignored == 0

    both = Driver(CHAIN)
    both.give(PauseRequested("r1", both.now, with_flow=True))
    both.pause()
    assert not restore(both.run.plan, snapshot(both.run)).paused_with_flow
    both.give(ResumeRequested("r1", both.now, with_flow=True))
    assert both.run.paused and both.ignored == 1
    both.resume()
    assert not both.run.paused


def test_a_run_that_was_paused_by_itself_is_not_touched_by_its_flow() -> None:
    run = Driver(CHAIN)
    run.pause()
    run.give(PauseRequested("r1", run.now, with_flow=True))
    run.give(ResumeRequested("r1", run.now, with_flow=True))
    assert run.run.paused and run.ignored == 2
    run.cancel()
    assert run.ended == "cancelled"


def test_a_paused_split_starts_its_next_items_when_resumed() -> None:
    run = Driver("nodes: {s: {type: std::split, config: {field: $}}, w: {type: x.w}}\nedges: [{from: s.item, to: w}]", [1, 2])
    run.pause()
    run.complete("w[0]", 1)
    assert run.open == {}
    run.resume()
    assert list(run.open) == ["w[1]"]


# --- cancelling and timing out


def test_a_cancelled_run_calls_back_what_is_out() -> None:
    run = Driver(TWO % "finish")
    run.cancel(reason="no longer wanted")
    assert (run.ended, run.error.type, run.error.message) == ("cancelled", "cancelled", "no longer wanted")
    assert len(run.all(CancelTask)) == 2


def test_nothing_changes_a_run_that_has_ended() -> None:
    run = Driver(CHAIN).work()
    for again in list(run.journal):
        assert run.give(again) == []
    run.cancel()
    assert run.ended == "completed" and run.ignored == 4


def test_a_run_that_takes_too_long_fails_and_is_undone() -> None:
    flow = """
        settings: {execution_timeout_ms: 5000}
        nodes: {a: {type: x.a, compensate: undo}, b: {type: x.b}, undo: {type: x.u}}
        edges: [{from: a, to: b}]
        """
    run = Driver(flow)
    assert run.due_in("", "run") == 5_000
    run.complete("a", "made")
    run.fire("", "run")
    assert run.input("undo") == "made"
    run.work()
    assert (run.ended, run.error.type) == ("failed", "timeout")


def test_the_timeout_of_a_run_is_cleared_when_it_completes() -> None:
    run = Driver("settings: {execution_timeout_ms: 5000}\nnodes: {a: {type: x.a}}").work()
    assert run.ended == "completed" and run.timers == {}


def test_a_run_without_a_timeout_cannot_time_out() -> None:
    run = Driver(CHAIN)
    run.give(TimerFired("r1", run.now, TimerId((), "run", 1)))
    assert run.ignored == 1 and run.ended == ""


def test_a_paused_run_holds_its_own_timeout_too() -> None:
    run = Driver("settings: {execution_timeout_ms: 5000}\n" + CHAIN)
    run.pause()
    run.fire("", "run")
    assert run.ended == ""
    run.resume()
    assert (run.ended, run.error.type) == ("failed", "timeout")


def test_an_empty_flow_completes_at_once() -> None:
    assert Driver("nodes: {}").value is None


def test_a_node_that_no_trigger_leads_to_does_not_change_the_shape_of_the_output() -> None:
    run = Driver(
        """
        triggers: [{id: t, type: manual}]
        nodes: {a: {type: x.a}, alone: {type: x.b}}
        edges: [{from: t, to: a}]
        """,
        trigger="t",
    )
    run.complete("a", 5)
    assert (run.ended, run.value) == ("completed", 5)

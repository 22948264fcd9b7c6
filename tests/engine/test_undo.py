"""Compensations: what is undone, in which order, and what becomes of the error that caused it."""

from __future__ import annotations

import pytest

from jetfleet.schemas.errors import InvalidFlow

from .driving import Driver, compiled


def saga(more: str = "", extra: str = "") -> str:
    return f"""
        nodes:
          a: {{type: x.a, compensate: undo_a}}
          b: {{type: x.b, compensate: undo_b}}
          c: {{type: x.c}}
          undo_a: {{type: x.ua}}
          undo_b: {{type: x.ub}}
          {extra}
        edges: [{{from: a, to: b}}, {{from: b, to: c}}]
        {more}
        """


def at_c(flow: str) -> Driver:
    run = Driver(flow, 0)
    run.complete("a", "made a")
    run.complete("b", "made b")
    return run


def test_a_failed_run_is_undone_in_reverse_order_with_what_was_made() -> None:
    run = at_c(saga())
    run.fail("c", type="broken")
    assert list(run.open) == ["undo_b"] and run.input("undo_b") == "made b"
    run.complete("undo_b")
    assert list(run.open) == ["undo_a"] and run.input("undo_a") == "made a"
    run.complete("undo_a")
    assert (run.ended, run.error.type, run.error.node) == ("failed", "broken", "c")


def test_only_completed_work_is_undone() -> None:
    run = Driver(saga(), 0)
    run.complete("a", 1)
    run.fail("b")
    assert list(run.open) == ["undo_a"]
    run.work()
    assert run.dispatched("undo_b") == [] and run.ended == "failed"


def test_a_completed_run_undoes_nothing_and_its_compensations_are_no_ends() -> None:
    run = at_c(saga())
    run.complete("c", "c")
    assert run.value == "c" and run.dispatched("undo_a") == []


def test_undoing_can_be_done_all_at_once() -> None:
    run = at_c(saga("settings: {compensate: parallel}"))
    run.fail("c")
    assert sorted(run.open) == ["undo_a", "undo_b"]
    run.complete("undo_a")
    assert run.ended == ""
    run.complete("undo_b")
    assert run.ended == "failed"


@pytest.mark.parametrize("reason", ["", "the customer changed their mind"])
def test_a_cancelled_run_is_undone_and_ends_as_cancelled(reason: str) -> None:
    run = at_c(saga())
    run.cancel(reason=reason)
    assert list(run.open) == ["undo_b"]
    run.work()
    assert (run.ended, run.error.message) == ("cancelled", reason or "cancelled")


def test_a_killed_run_ends_at_once_and_undoes_nothing() -> None:
    run = at_c(saga())
    run.cancel(kill=True)
    assert run.ended == "killed" and run.dispatched("undo_b") == []


def test_killing_ends_a_run_that_is_undoing() -> None:
    run = at_c(saga())
    run.fail("c")
    run.cancel(kill=True)
    assert (run.ended, run.error.type) == ("killed", "boom")


def test_cancelling_a_run_that_is_undoing_changes_nothing() -> None:
    run = at_c(saga())
    run.fail("c")
    run.cancel()
    assert run.ignored == 1
    run.work()
    assert run.ended == "failed"


def test_a_compensation_that_fails_keeps_both_errors_and_stops_nothing() -> None:
    run = at_c(saga())
    run.fail("c", type="broken")
    run.fail("undo_b", type="stuck")
    run.complete("undo_a")
    assert (run.ended, run.error.type) == ("failed", "broken")
    assert [error["type"] for error in run.error.details["compensation_errors"]] == ["stuck"]


def test_a_compensation_that_fails_after_a_cancel_is_kept_too() -> None:
    run = at_c(saga())
    run.cancel()
    run.fail("undo_b", type="stuck")
    run.complete("undo_a")
    assert run.ended == "cancelled"
    assert [error["type"] for error in run.error.details["compensation_errors"]] == ["stuck"]


def test_a_compensation_is_tried_again_by_its_own_policy() -> None:
    run = at_c(saga().replace("undo_b: {type: x.ub}", "undo_b: {type: x.ub, retry: {max_attempts: 2}}"))
    run.fail("c")
    run.fail("undo_b")
    run.fire("undo_b", "retry")
    assert run.open["undo_b"].attempt == 2
    run.work()
    assert run.ended == "failed" and run.error.details is None


def test_a_scope_undoes_its_own_work_before_its_handler_runs() -> None:
    run = at_c(saga("scopes: {t: {nodes: [b, c], compensate: reverse, on_error: rescue}}", "rescue: {type: x.r}"))
    run.fail("c", type="broken")
    assert list(run.open) == ["undo_b"], "a stands outside of the scope"
    run.complete("undo_b")
    assert run.input("rescue")["type"] == "broken"
    run.work()
    assert run.ended == "completed" and run.dispatched("undo_a") == []


def test_a_scope_can_undo_in_the_order_of_a_list() -> None:
    run = at_c(saga("scopes: {t: {nodes: [a, b, c], compensate: [a, b], on_error: rescue}}", "rescue: {type: x.r}"))
    run.fail("c")
    assert list(run.open) == ["undo_a"]
    run.complete("undo_a")
    assert list(run.open) == ["undo_b"]


def test_a_scope_can_undo_all_at_once() -> None:
    run = at_c(saga("scopes: {t: {nodes: [a, b, c], compensate: parallel}}"))
    run.fail("c")
    assert sorted(run.open) == ["undo_a", "undo_b"]
    run.work()
    assert run.ended == "failed"


def test_what_a_scope_has_undone_the_run_does_not_undo_again() -> None:
    run = at_c(saga("scopes: {t: {nodes: [b, c], compensate: reverse}}"))
    run.fail("c")
    run.work()
    assert run.dispatched("undo_b") == ["undo_b"] and run.dispatched("undo_a") == ["undo_a"]
    assert run.ended == "failed"


def test_the_error_of_a_compensation_in_a_scope_reaches_the_handler() -> None:
    run = at_c(saga("scopes: {t: {nodes: [b, c], compensate: reverse, on_error: rescue}}", "rescue: {type: x.r}"))
    run.fail("c", type="broken")
    run.fail("undo_b", type="stuck")
    error = run.input("rescue")
    assert error["type"] == "broken" and error["details"]["compensation_errors"][0]["type"] == "stuck"


def test_a_scope_undoes_before_it_is_tried_again_and_can_undo_again() -> None:
    run = at_c(saga("scopes: {t: {nodes: [a, b, c], compensate: reverse, retry: {max_attempts: 2}}}"))
    run.fail("c")
    run.complete("undo_b")
    run.complete("undo_a")
    run.fire("t", "scope_retry")
    run.complete("a", "made a again")
    run.complete("b", "made b again")
    run.fail("c")
    assert (run.input("undo_b"), run.open["undo_b"].attempt) == ("made b again", 2)
    run.work()
    assert run.ended == "failed" and run.dispatched("undo_a") == ["undo_a", "undo_a"]


def test_work_that_a_retried_scope_did_not_undo_is_undone_once_when_the_run_fails() -> None:
    run = at_c(saga("scopes: {t: {nodes: [a, b, c], retry: {max_attempts: 2}}}"))
    run.fail("c")
    run.fire("t", "scope_retry")
    run.complete("a", "made a again")
    run.fail("b")
    assert run.input("undo_a") == "made a again", "what was completed last is undone first"
    run.complete("undo_a")
    assert run.open.keys() == {"undo_b"}
    run.work()
    assert run.ended == "failed"


def test_a_run_cancelled_while_a_scope_undoes_finishes_the_undoing() -> None:
    run = at_c(saga("scopes: {t: {nodes: [b, c], compensate: reverse}}"))
    run.fail("c")
    assert list(run.open) == ["undo_b"]
    run.cancel()
    run.work()
    assert run.ended == "failed" or run.ended == "cancelled"
    assert run.statuses("undo_b", "undo_a") == ["completed", "completed"]


ITEMS = """
    nodes:
      s: {type: std::split, config: {field: $, mode: parallel}}
      w: {type: x.w, compensate: undo_w}
      x: {type: x.x}
      undo_w: {type: x.u}
      last: {type: x.l}
    %s
    edges: [{from: s.item, to: w}, {from: w, to: x}, {from: s.done, to: last}]
    """


@pytest.mark.parametrize("keep", [True, False])
def test_work_in_items_is_undone_item_by_item(keep: bool) -> None:
    run = Driver(ITEMS % "", ["p", "q"], keep=keep)
    run.complete("w[0]", "made p")
    run.complete("w[1]", "made q")
    run.work_one("x[0]")
    run.work_one("x[1]")
    run.fail("last")
    assert run.input("undo_w[1]") == "made q"
    run.complete("undo_w[1]")
    assert run.input("undo_w[0]") == "made p"
    run.work()
    assert run.ended == "failed"


@pytest.mark.parametrize("keep", [True, False])
def test_items_that_were_cancelled_half_way_are_undone(keep: bool) -> None:
    run = Driver(ITEMS % "", ["p", "q"], keep=keep)
    run.complete("w[0]", "made p")
    run.fail("w[1]")
    assert list(run.open) == ["undo_w[0]"]
    run.work()
    assert run.ended == "failed"


@pytest.mark.parametrize("keep", [True, False])
def test_an_item_whose_scope_is_undoing_is_still_undone_when_the_run_is_cancelled(keep: bool) -> None:
    run = Driver(ITEMS % "scopes: {t: {nodes: [w, x], compensate: reverse}}", ["p", "q"], keep=keep)
    run.complete("w[0]", "made p")
    run.fail("x[0]")
    assert sorted(run.open) == ["undo_w[0]", "w[1]"]
    run.cancel()
    assert [(name, task.attempt) for name, task in run.open.items()] == [("undo_w[0]", 1)], "it goes on, it does not start again"
    run.work()
    assert run.ended == "cancelled"


@pytest.mark.parametrize("keep", [True, False])
def test_a_failing_item_does_not_lose_the_undoing_of_another(keep: bool) -> None:
    run = Driver(ITEMS % "scopes: {t: {nodes: [w, x], compensate: reverse}}", ["p", "q"], keep=keep)
    run.complete("w[0]", "made p")
    run.fail("x[0]")
    run.fail("w[1]")
    assert list(run.open) == ["undo_w[0]"]
    run.work()
    assert run.ended == "failed" and run.status("undo_w[0]") == "completed"


@pytest.mark.parametrize("keep", [True, False])
def test_killing_a_run_calls_back_the_undoing_of_items_that_have_ended(keep: bool) -> None:
    run = Driver(ITEMS % "", ["p"], keep=keep)
    run.complete("w[0]", "made p")
    run.work_one("x[0]")
    run.fail("last")
    run.cancel(kill=True)
    assert run.ended == "killed" and run.open == {}


@pytest.mark.parametrize("keep", [True, False])
def test_the_last_iteration_of_an_inner_loop_is_undone_too(keep: bool) -> None:
    flow = """
        nodes:
          a: {type: std::loop, config: {max_iterations: 2}}
          b: {type: std::loop, config: {max_iterations: 1}}
          w: {type: x.w, compensate: undo_w}
          undo_w: {type: x.u}
          last: {type: x.l}
        edges:
          - {from: a.continue, to: b}
          - {from: b.continue, to: w}
          - {from: w, to: b, loop_back: true}
          - {from: b.exit, to: a, loop_back: true}
          - {from: a.exit, to: last}
        """
    run = Driver(flow, 0, keep=keep)
    run.complete("w[0][0]", "first")
    run.complete("w[1][0]", "second")
    run.fail("last")
    run.work()
    assert run.dispatched("undo_w") == ["undo_w[1][0]", "undo_w[0][0]"]


INNER = """
    nodes: {a: {type: x.a, compensate: undo_a}, b: {type: x.b}, undo_a: {type: x.u}, rescue: {type: x.r}}
    scopes:
      inner: {nodes: [a, b], compensate: reverse}
      outer: {nodes: [inner], timeout_ms: 100, on_error: rescue}
    edges: [{from: a, to: b}]
    """


def test_an_outer_scope_that_times_out_lets_the_inner_one_finish_undoing_first() -> None:
    run = Driver(INNER)
    run.complete("a", "made a")
    run.fail("b")
    assert list(run.open) == ["undo_a"]
    run.fire("outer", "scope")
    assert list(run.open) == ["undo_a"]
    run.complete("undo_a")
    assert list(run.open) == ["rescue"] and run.input("rescue")["type"] == "timeout"
    run.work()
    assert run.ended == "completed"


def test_a_compensation_may_be_anything_that_the_engine_can_do() -> None:
    run = at_c(saga().replace("undo_b: {type: x.ub}", "undo_b: {type: std::subflow, config: {flow: refunds}}"))
    run.fail("c")
    assert list(run.children) == ["undo_b"]
    run.child_ended("undo_b")
    assert list(run.open) == ["undo_a"]


RETRIED_SPLIT = """
    nodes:
      s: {type: std::split, config: {field: $, mode: parallel}, retry: {max_attempts: 2, jitter: false}}
      w: {type: x.w, compensate: u}
      f: {type: x.f}
      u: {type: x.u}
    edges: [{from: s.item, to: w}, {from: w, to: f}]
    """


def test_work_of_a_splits_earlier_attempt_is_undone_when_the_last_attempt_fails() -> None:
    run = Driver(RETRIED_SPLIT, ["p", "q"])
    run.complete("w[1]", "made q")
    run.fail("w[0]")
    run.fire_next()
    assert sorted(run.open) == ["w[0]", "w[1]"]
    run.fail("w[0]")
    assert list(run.open) == ["u[1]"] and run.input("u[1]") == "made q"
    run.work()
    assert run.ended == "failed"


def test_what_a_later_attempt_made_anew_is_undone_once_with_its_own_output() -> None:
    run = Driver(RETRIED_SPLIT, ["p", "q"])
    run.complete("w[1]", "made q")
    run.fail("w[0]")
    run.fire_next()
    run.complete("w[1]", "made q again")
    run.fail("w[0]")
    assert run.input("u[1]") == "made q again"
    run.work()
    assert run.dispatched("u") == ["u[1]"] and run.ended == "failed"


def test_a_compensation_gets_what_was_made_also_if_its_node_failed_when_the_scope_was_tried_again() -> None:
    run = Driver(
        """
        nodes:
          a: {type: x.a, compensate: u}
          b: {type: x.b}
          u: {type: x.u}
        scopes: {t: {nodes: [a, b], retry: {max_attempts: 2, jitter: false}}}
        edges: [{from: a, to: b}]
        """
    )
    run.complete("a", "made")
    run.fail("b")
    run.fire_next()
    run.fail("a")
    assert list(run.open) == ["u"] and run.input("u") == "made"
    run.work()
    assert run.ended == "failed"


def test_an_item_that_is_skipped_takes_its_error_along_also_that_of_undoing_it() -> None:
    run = Driver(
        """
        nodes:
          s: {type: std::split, config: {field: $, on_item_error: skip}}
          w: {type: x.w, compensate: u}
          f: {type: x.f}
          u: {type: x.u}
        scopes: {t: {nodes: [w, f], compensate: reverse}}
        edges: [{from: s.item, to: w}, {from: w, to: f}]
        """,
        [1],
    )
    run.complete("w[0]")
    run.fail("f[0]", type="broken")
    run.fail("u[0]", type="stuck")
    assert run.ended == "completed" and run.value == []


def test_undoing_in_the_background_keeps_its_error_for_the_end() -> None:
    run = Driver(
        """
        nodes:
          s: {type: std::split, config: {field: $, mode: parallel, on_item_error: fail}}
          w: {type: x.w, compensate: u}
          f: {type: x.f}
          u: {type: x.u}
          rescue: {type: x.r}
        scopes: {t: {nodes: [w, f], compensate: reverse}}
        edges: [{from: s.item, to: w}, {from: w, to: f}, {from: s.error, to: rescue}]
        """,
        [1, 2],
    )
    run.complete("w[0]")
    run.fail("f[0]", type="broken")
    run.fail("w[1]", type="worse")  # the split is given up while item 0 is still undoing
    run.fail("u[0]", type="stuck")
    run.complete("rescue", "saved")
    assert (run.ended, run.value, run.error.type) == ("completed", {"rescue": "saved"}, "compensation_failed")
    assert [error["type"] for error in run.error.details["compensation_errors"]] == ["stuck"]


def test_a_retry_around_a_scope_that_compensates_is_refused_with_the_way_to_say_it() -> None:
    flow = RETRIED_SPLIT.replace("    edges", "    scopes: {t: {nodes: [w, f], compensate: reverse}}\n    edges")
    with pytest.raises(InvalidFlow, match="put 's' into a scope of its own"):
        compiled(flow)

"""Try and parallel scopes: what leaves them waits, what fails in them is handled, tried again or handed on."""

from __future__ import annotations

from jetfleet.schemas.errors import NodeError

from .driving import Driver


def guarded(scope: str, more: str = "") -> str:
    return f"""
        nodes: {{a: {{type: x.a}}, b: {{type: x.b}}, after: {{type: x.after}}, rescue: {{type: x.r}}, done: {{type: std::merge, config: {{strategy: any}}}}}}
        scopes: {{t: {{nodes: [a, b], {scope}}}}}
        edges:
          - {{from: a, to: b}}
          - {{from: a, to: after}}
          - {{from: b, to: done}}
          - {{from: after, to: done}}
          {more}
        """


HANDLED = guarded("on_error: rescue", "- {from: rescue, to: done}")


def test_ways_out_of_a_scope_wait_until_all_of_it_has_ended() -> None:
    run = Driver(HANDLED, 1)
    run.complete("a", 1)
    assert sorted(run.open) == ["b"]
    run.complete("b", 2)
    assert sorted(run.open) == ["after"]


def test_a_handler_gets_the_error_and_the_ways_out_are_dead() -> None:
    run = Driver(HANDLED, 1)
    run.complete("a", 1)
    run.fail("b", type="card_declined")
    assert run.input("rescue") == {
        "type": "card_declined",
        "message": "b failed",
        "retryable": True,
        "node": "b",
        "attempts": 1,
        "details": None,
    }
    assert run.work(rescue=lambda error: "saved").value == "saved"
    assert run.statuses("a", "b", "after") == ["completed", "failed", "skipped"]


def test_a_handler_is_skipped_when_nothing_fails() -> None:
    run = Driver(HANDLED, 1).work()
    assert (run.ended, run.status("rescue")) == ("completed", "skipped")


def test_a_scope_without_handler_fails_the_run() -> None:
    run = Driver(guarded("timeout_ms: 50"), 1)
    run.fail("a")
    assert (run.ended, run.error.type) == ("failed", "boom")


def test_an_error_edge_of_the_node_comes_before_the_scope() -> None:
    run = Driver(guarded("on_error: rescue", "- {from: rescue, to: done}\n          - {from: a.error, to: b}"), 1)
    run.fail("a")
    assert run.input("b")["type"] == "boom"
    assert run.work().status("rescue") == "skipped"


def test_the_error_of_a_scope_can_be_read_by_selectors() -> None:
    run = Driver(HANDLED.replace("nodes:", "outputs: {why: '${t.error.type}', who: '${t.error.node}'}\n        nodes:", 1), 1)
    run.fail("a")
    assert run.work().value == {"why": "boom", "who": "a"}


def test_the_error_of_a_scope_that_did_not_fail_is_null() -> None:
    run = Driver(HANDLED.replace("nodes:", "outputs: ['${t.error}', '<${t.error.type}>']\n        nodes:", 1), 1).work()
    assert run.value == [None, "<>"]


PARALLEL_TRY = """
    nodes: {a: {type: x.a}, b: {type: x.b}, slow: {type: x.s}, rescue: {type: x.r}}
    scopes: {t: {nodes: [a, b, slow], on_error: rescue}}
    edges: [{from: a, to: b}]
    """


def test_a_failing_scope_cancels_its_open_members_and_nothing_else() -> None:
    run = Driver(PARALLEL_TRY, 1)
    run.fail("a")
    assert run.statuses("a", "b", "slow") == ["failed", "skipped", "cancelled"]
    assert list(run.open) == ["rescue"]


def test_a_scope_is_tried_again_with_its_first_input_and_attempts_go_on() -> None:
    run = Driver(
        guarded("on_error: rescue, retry: {max_attempts: 2, initial_delay_ms: 70, jitter: false}", "- {from: rescue, to: done}"), 5
    )
    run.complete("a", 6)
    run.fail("b")
    assert run.due_in("t", "scope_retry") == 70
    run.fire("t", "scope_retry")
    assert (run.input("a"), run.open["a"].attempt) == (5, 2)
    run.complete("a", 7)
    assert (run.input("b"), run.open["b"].attempt) == (7, 2)
    run.fail("b")
    assert list(run.open) == ["rescue"], "no attempt of the scope is left"


def test_a_scope_is_not_tried_again_for_an_error_that_is_not_retryable() -> None:
    run = Driver(guarded("on_error: rescue, retry: {max_attempts: 5, non_retryable: [declined]}", "- {from: rescue, to: done}"), 5)
    run.fail("a", type="declined")
    assert list(run.open) == ["rescue"]


def test_a_late_completion_of_an_earlier_attempt_of_the_scope_is_ignored() -> None:
    run = Driver(guarded("retry: {max_attempts: 2}"), 5)
    stale = run.open["a"]
    run.fail("a")
    run.fire("t", "scope_retry")
    run.open["old"] = stale
    run.complete("old", 99)
    assert (run.ignored, run.status("b")) == (1, "pending")
    run.work()
    assert run.ended == "completed"


def test_a_retried_member_has_its_full_retry_policy_in_each_attempt_of_the_scope() -> None:
    flow = """
        nodes: {a: {type: x.a, retry: {max_attempts: 2}}}
        scopes: {t: {nodes: [a], retry: {max_attempts: 2}}}
        """
    run = Driver(flow)
    attempts = []
    for purpose, owner in (("retry", "a"), ("scope_retry", "t"), ("retry", "a")):
        attempts.append(run.open["a"].attempt)
        run.fail("a")
        run.fire(owner, purpose)
    attempts.append(run.open["a"].attempt)
    run.fail("a")
    assert attempts == [1, 2, 3, 4] and run.ended == "failed"


def test_the_timeout_of_a_scope_fails_it_from_its_first_start_on() -> None:
    flow = """
        nodes: {first: {type: x.f}, a: {type: x.a}, rescue: {type: x.r}}
        scopes: {t: {nodes: [a], timeout_ms: 500, on_error: rescue}}
        edges: [{from: first, to: a}]
        """
    run = Driver(flow)
    assert run.timers == {}
    run.complete("first")
    assert run.due_in("t", "scope") == 500
    run.fire("t", "scope")
    assert run.input("rescue")["type"] == "timeout"
    assert run.status("a") == "cancelled"


def test_the_timeout_is_cleared_when_the_scope_ends_and_set_anew_for_each_attempt() -> None:
    run = Driver(
        "nodes: {a: {type: x.a}, b: {type: x.b}}\nscopes: {t: {nodes: [a], timeout_ms: 500, retry: {max_attempts: 2, jitter: false}}}\nedges: [{from: a, to: b}]"
    )
    run.fail("a")
    assert run.timer_names() == [("t", "scope_retry")]
    run.fire("t", "scope_retry")
    assert run.due_in("t", "scope") == 500
    run.complete("a")
    assert run.timers == {}


NESTED = """
    nodes: {a: {type: x.a}, b: {type: x.b}, in_rescue: {type: x.i}, out_rescue: {type: x.o}}
    scopes:
      inner: {nodes: [a], on_error: in_rescue}
      outer: {nodes: [inner, in_rescue, b], on_error: out_rescue}
    edges: [{from: a, to: b}, {from: in_rescue, to: b}]
    """


def test_the_inner_scope_handles_first_and_the_outer_goes_on() -> None:
    run = Driver(NESTED, 1)
    run.fail("a")
    run.complete("in_rescue", "mended")
    assert run.input("b") == "mended"
    run.work()
    assert run.status("out_rescue") == "skipped" and run.ended == "completed"


def test_a_handler_that_fails_is_handled_by_the_scope_around_it() -> None:
    run = Driver(NESTED, 1)
    run.fail("a")
    run.fail("in_rescue", type="worse")
    assert run.input("out_rescue")["type"] == "worse"
    assert run.work().ended == "completed"


def test_the_outer_scope_starts_the_inner_one_again_too() -> None:
    flow = """
        nodes: {a: {type: x.a}, b: {type: x.b}}
        scopes: {inner: {nodes: [a], timeout_ms: 10}, outer: {nodes: [inner, b], retry: {max_attempts: 2}}}
        edges: [{from: a, to: b}]
        """
    run = Driver(flow, 1)
    run.complete("a", 2)
    run.fail("b")
    run.fire("outer", "scope_retry")
    assert list(run.open) == ["a"] and run.timer_names() == [("inner", "scope")]
    run.work()
    assert run.ended == "completed"


def test_an_inner_handler_works_again_after_the_outer_scope_has_started_again() -> None:
    flow = """
        nodes: {g: {type: x.g}, a: {type: x.a}, mend: {type: x.m}, b: {type: x.b}}
        scopes: {inner: {nodes: [a], on_error: mend}, outer: {nodes: [g, inner, mend, b], retry: {max_attempts: 3}}}
        edges: [{from: g, to: a}, {from: a, to: b}, {from: mend, to: b}]
        """
    run = Driver(flow, 1)
    run.fail("g")
    run.fire("outer", "scope_retry")
    run.complete("g", 2)
    run.complete("a", 3)
    run.fail("b")
    run.fire("outer", "scope_retry")
    run.complete("g", 4)
    run.fail("a")
    run.complete("mend", "mended")
    assert run.input("b") == "mended"


def test_a_scope_that_holds_nothing_but_a_scope_outlives_its_attempts() -> None:
    flow = """
        nodes: {a: {type: x.a}, b: {type: x.b}, rescue: {type: x.r}}
        scopes: {inner: {nodes: [a], retry: {max_attempts: 2}}, outer: {nodes: [inner], on_error: rescue}}
        edges: [{from: a, to: b}]
        """
    run = Driver(flow, 1)
    run.fail("a")
    run.fire("inner", "scope_retry")
    run.work()
    assert run.ended == "completed" and run.status("rescue") == "skipped"


def test_a_scope_in_the_body_of_a_split_guards_each_item_for_itself() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, w: {type: x.w}, rescue: {type: x.r}, end: {type: x.e}}
        scopes: {t: {nodes: [w], on_error: rescue}}
        edges: [{from: s.item, to: w}, {from: w, to: end}, {from: rescue, to: end}]
        """

    def odd(value: int) -> int:
        if value % 2:
            raise NodeError("odd")
        return value

    run = Driver(flow, [1, 2, 3]).work(w=odd, rescue=lambda error: error["node"])
    assert run.value == ["w", 2, "w"]


def test_a_scope_around_a_split_starts_all_items_again() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, w: {type: x.w, retry: {max_attempts: 2}}}
        scopes: {t: {nodes: [s], retry: {max_attempts: 2}}}
        edges: [{from: s.item, to: w}]
        """
    run = Driver(flow, [1, 2])
    run.complete("w[0]", 1)
    run.fail("w[1]")
    run.fire("w[1]", "retry")
    run.fail("w[1]")
    run.fire("t", "scope_retry")
    assert [(name, task.attempt) for name, task in run.open.items()] == [("w[0]", 3), ("w[1]", 3)]
    assert run.work().value == [1, 2]


def test_a_way_out_of_a_loop_in_a_scope_is_forgotten_when_the_scope_starts_again() -> None:
    flow = """
        nodes:
          l: {type: std::loop, config: {max_iterations: 2}}
          w: {type: x.w}
          sw: {type: std::switch, config: {condition: stop}}
          b: {type: x.b}
          left: {type: x.left}
          end: {type: std::merge, config: {strategy: any}}
        scopes: {t: {nodes: [l, b], retry: {max_attempts: 2}}}
        edges:
          - {from: l.continue, to: w}
          - {from: w, to: sw}
          - {from: sw.false, to: l, loop_back: true}
          - {from: sw.true, to: end}
          - {from: l.exit, to: left}
          - {from: left, to: end}
        """
    run = Driver(flow, {"stop": False})
    run.complete("w[0]", {"stop": True})
    run.fail("b")
    run.fire("t", "scope_retry")
    run.complete("b")
    run.complete("w[0]", {"stop": False, "n": 1})
    run.complete("w[1]", {"stop": False, "n": 2})
    assert run.work().output("end") == {"stop": False, "n": 2}


# --- parallel scopes


def parallel(completion: str) -> str:
    return f"""
        nodes: {{a: {{type: x.a}}, a2: {{type: x.a2}}, b: {{type: x.b}}, c: {{type: x.c}}, after: {{type: x.after}}}}
        scopes: {{p: {{type: parallel, nodes: [a, a2, b, c], {completion}}}}}
        edges: [{{from: a, to: a2}}, {{from: p, to: after}}]
        """


def test_a_parallel_scope_completes_with_all_branches_in_declared_order() -> None:
    run = Driver(parallel("completion: all"))
    for name, value in (("c", 3), ("b", 2), ("a", 0), ("a2", 1)):
        run.complete(name, value)
    assert list(run.input("after").items()) == [("a2", 1), ("b", 2), ("c", 3)]


def test_a_parallel_scope_of_any_cancels_the_branches_that_lost() -> None:
    run = Driver(parallel("completion: any"))
    run.complete("b", 2)
    assert run.input("after") == {"b": 2}
    assert run.statuses("a", "a2", "b", "c") == ["cancelled", "skipped", "completed", "cancelled"]
    assert run.work().ended == "completed"


def test_a_parallel_scope_of_at_least_two_waits_for_two() -> None:
    run = Driver(parallel("completion: {at_least: 2}"))
    run.complete("c", 3)
    assert "after" not in run.open
    run.complete("b", 2)
    assert run.input("after") == {"b": 2, "c": 3} and list(run.open) == ["after"]


def test_a_parallel_scope_fails_with_its_first_failing_branch() -> None:
    run = Driver(parallel("completion: all"))
    run.fail("b")
    assert run.ended == "failed" and run.statuses("a", "c") == ["cancelled", "cancelled"]

"""Runs that are reopened: what is done again, what is not, and that every way to the same state leads to the same state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jetfleet.broker.engine import NeverRan, decide, digest, fold, nodes, restore, snapshot, state_at, to_fork, to_retry
from jetfleet.schemas.records import CancelRequested, Completion, Error, TimerFired

from .driving import Driver
from .playing import Player
from .programs import Program, Task, blocks
from .reopened import ReopenedDriver, forked, retried
from .strategies import programs
from .test_properties import SEEDS, VALUES, examples, played, player

LIVES_MAX = 12
"""In a loop every iteration may fail twice: some programs need more lives than anybody wants to wait for."""
CHAIN = """
nodes: {a: {type: x.a}, b: {type: x.b, retry: {max_attempts: 2, initial_delay_ms: 10}}, c: {type: x.c}}
edges: [{from: a, to: b}, {from: b, to: c}]
"""
SAGA = """
nodes: {a: {type: x.a, compensate: ua}, b: {type: x.b}, c: {type: x.c}, ua: {type: x.u}}
edges: [{from: a, to: b}, {from: b, to: c}]
"""


def failed_chain() -> Driver:
    run = Driver(CHAIN, 7)
    run.complete("a", 1)
    run.fail("b")
    run.fire("b", "retry")
    run.fail("b")
    assert run.ended == "failed"
    return run


# --- retry


def test_a_retry_goes_on_with_what_failed_and_keeps_what_was_completed() -> None:
    run = retried(failed_chain())
    assert list(run.open) == ["b"] and run.input("b") == 1
    run.complete("b", 2)
    run.complete("c", 3)
    assert run.value == 3 and run.dispatched() == ["b", "c"]


def test_a_retry_gives_the_node_all_its_attempts_again_under_numbers_of_their_own() -> None:
    before = failed_chain()
    run = retried(before)
    assert run.open["b"].attempt == 3
    run.fail("b")
    run.fire("b", "retry")
    assert run.open["b"].attempt == 4
    run.fail("b")
    assert run.ended == "failed" and run.error.attempts == 2
    assert retried(run).open["b"].attempt == 5


def test_a_completion_of_an_earlier_life_means_nothing() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: []")
    late = run.open["a"]
    run.fail("b")
    run = retried(run)
    assert sorted(run.open) == ["a", "b"]
    assert run.give(Completion("r1", run.now, late.activation, late.attempt)) == [] and run.ignored == 1
    run.complete("a", 1)
    run.complete("b", 2)
    assert run.value == {"a": 1, "b": 2}


def test_what_was_undone_is_done_again_and_so_is_what_followed_from_it() -> None:
    run = Driver(SAGA)
    run.complete("a", 1)
    late = run.open["b"]
    run.complete("b", 2)
    run.fail("c")
    run.complete("ua")
    assert run.ended == "failed"
    run = retried(run)
    assert list(run.open) == ["a"] and run.open["a"].attempt == 2
    run.complete("a", 10)
    assert run.input("b") == 10 and run.open["b"].attempt == late.attempt + 1
    run.complete("b", 20)
    run.fail("c")
    assert run.open["ua"].attempt == 2
    run.complete("ua")
    assert run.ended == "failed"


def test_a_failure_that_was_handled_stays_handled_and_undone() -> None:
    run = Driver("""
        nodes: {a: {type: x.a, compensate: ua}, b: {type: x.b}, ua: {type: x.u}, r: {type: x.r}, c: {type: x.c}}
        edges: [{from: a, to: b}, {from: r, to: c}]
        scopes: {s: {nodes: [a, b], compensate: reverse, on_error: r}}
    """)
    run.complete("a")
    run.fail("b")
    run.complete("ua")
    run.complete("r")
    run.fail("c")
    run = retried(run)
    assert list(run.open) == ["c"]


def test_a_cancelled_run_goes_on_where_it_was() -> None:
    run = Driver(CHAIN, 7)
    run.complete("a", 1)
    run.cancel()
    run = retried(run)
    assert list(run.open) == ["b"] and run.open["b"].attempt == 2


def test_a_cancel_that_was_meant_for_an_earlier_life_means_nothing_when_it_comes_once_more() -> None:
    run = Driver(CHAIN, 7)
    parents = CancelRequested("r1", run.now, "its parent no longer waits for it", False, 1)
    run.give(parents)
    assert run.ended == "cancelled"
    run = retried(run)
    run.give(parents)
    assert not run.ended and run.ignored == 1
    run.cancel()
    assert run.ended == "cancelled", "who asks for this life, or for whichever it is, is heard"


def test_a_killed_run_that_was_paused_is_not_paused_any_more() -> None:
    run = Driver(CHAIN, 7)
    run.pause()
    run.complete("a", 1)
    run.cancel(kill=True)
    assert list(retried(run).open) == ["b"]


def test_items_of_a_split_that_were_completed_stay_so() -> None:
    run = Driver(
        """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel, max_parallel: 3}}, w: {type: x.w}}
        edges: [{from: s.item, to: w}]
        """,
        [1, 2, 3, 4],
    )
    run.complete("w[0]", 10)
    run.complete("w[2]", 30)
    run.fail("w[1]")
    assert run.ended == "failed"
    run = retried(run)
    assert sorted(run.open) == ["w[1]", "w[3]"]
    run.complete("w[3]", 40)
    run.complete("w[1]", 20)
    assert run.value == [10, 20, 30, 40]


def test_the_timeout_of_a_reopened_run_counts_from_then_and_the_old_one_means_nothing() -> None:
    run = Driver("settings: {execution_timeout_ms: 1000}\n" + CHAIN, 7)
    (old,) = run.timers
    run.complete("a", 1)
    run.fire("", "run")
    assert run.ended == "failed"
    run = retried(run, later_ms=60_000)
    assert run.due_in("", "run") == 1_000
    assert run.give(TimerFired("r1", run.now, old)) == []
    run.fire("", "run")
    assert run.error.type == "timeout"


def test_a_sub_flow_that_failed_is_started_as_a_new_child() -> None:
    run = Driver("nodes: {s: {type: std::subflow, config: {flow: other}}}")
    first = run.children["s"].child
    run.child_ended("s", status="failed", error=Error("boom", "it failed"))
    run = retried(run)
    second = run.children["s"].child
    assert second != first
    run.child_ended("s", 5)
    assert run.value == 5


def test_a_scope_that_failed_by_its_timeout_has_its_time_again() -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: [{from: a, to: b}]\nscopes: {s: {nodes: [a, b], timeout_ms: 100}}")
    run.complete("a", 1)
    run.fire("s", "scope")
    assert run.ended == "failed"
    run = retried(run, later_ms=60_000)
    assert list(run.open) == ["b"] and run.due_in("s", "scope") == 100


# --- fork


def test_a_fork_begins_at_the_node_and_does_again_what_follows() -> None:
    run = Driver(CHAIN, 7)
    run.complete("a", 1)
    run.complete("b", 2)
    run.complete("c", 3)
    run = forked(run, "b")
    assert list(run.open) == ["b"] and run.open["b"].attempt == 1
    run.complete("b", 20)
    assert list(run.open) == ["c"] and run.input("c") == 20


def test_a_fork_at_an_iteration_keeps_those_before_it() -> None:
    run = Driver(
        """
        nodes: {l: {type: std::loop, config: {max_iterations: 3}}, w: {type: x.w}, z: {type: x.z}}
        edges: [{from: l.continue, to: w}, {from: w, to: l, loop_back: true}, {from: l.exit, to: z}]
        """,
        0,
    )
    run.work(w=lambda value: value + 1)
    assert run.value == 3
    assert list(forked(run, "w[1]").open) == ["w[1]"]
    assert list(forked(run, "w").open) == ["w[0]"] == list(forked(run, "l").open)
    assert list(forked(run, "z").open) == ["z"]


def test_a_fork_forgets_the_signals_that_came_after_its_node_had_ended() -> None:
    run = Driver("nodes: {a: {type: x.a}, w: {type: std::wait, config: {signal: go}}}\nedges: [{from: a, to: w}]")
    run.complete("a")
    run.signal("go", 1)
    assert run.ended == "completed"
    again = forked(run, "a")
    again.complete("a")
    assert list(again.awaiting) == ["w"]
    assert list(forked(run, "w").awaiting) == ["w"]


def test_a_fork_at_what_the_engine_decides_does_again_what_follows_from_it() -> None:
    run = Driver(
        """
        nodes: {s: {type: std::switch, config: {condition: "$ > 3"}}, y: {type: x.y}, n: {type: x.n}, z: {type: x.z}}
        edges: [{from: s.true, to: y}, {from: s.false, to: n}, {from: y, to: z}, {from: n, to: z}]
        """,
        5,
    )
    run.work()
    assert list(forked(run, "s").open) == ["y"]


def test_a_node_that_never_ran_is_refused_with_what_did() -> None:
    run = failed_chain()
    with pytest.raises(NeverRan, match=r"'c' did not run in r1; these did: a, b$"):
        to_fork(run.plan, run.journal, "c")


@pytest.mark.parametrize("maker", ["r0", "r9"])
def test_a_fork_has_a_lost_payload_made_again_that_the_run_it_came_of_had_made(maker: str) -> None:
    run = Driver("nodes: {a: {type: x.a}, b: {type: x.b}}\nedges: [{from: a, to: b}]", 1)
    run.complete("a", 1)
    run.complete("b", 2)
    fork = forked(run, "b")
    producers = [{"run": maker, "activation": list(fork.address("a")), "again": True}]
    task = fork.open.pop("b")
    fork.give(
        Completion("r1", fork.now, task.activation, task.attempt, error=Error("payload_lost", "gone", details={"producers": producers}))
    )
    if maker == "r9":
        assert fork.ended == "failed" and "by run r9" in fork.error.message
    else:
        fork.complete("a", 10)
        assert fork.open["b"].attempt == 2


def test_waits_count_anew_and_what_is_waited_for_on_purpose_does_not() -> None:
    run = Driver("""
        nodes:
          d: {type: std::delay, config: {duration_ms: 500}}
          w: {type: std::wait, config: {signal: go, timeout_ms: 300}}
          x: {type: x.x}
    """)
    run.fail("x")
    assert run.ended == "failed"
    run = retried(run, later_ms=60_000)
    assert run.due_in("w", "wait") == 300 and run.due_in("d", "delay") == 500 - 60_000


# --- properties


@examples(80)
@given(programs(order_free=True), VALUES, SEEDS, st.data())
def test_a_fork_that_is_told_the_same_ends_the_same(program: Program, value: Any, seed: int, data: st.DataObject) -> None:
    run = played(program, value, seed)
    done = [name for name, view in nodes(run.run).items() if view.status == "completed" and view.attempts]
    assume(done)
    fork = forked(run, data.draw(st.sampled_from(done))).run
    for record in run.journal[1:]:
        decide(fork, record)
    assert (fork.status, fork.output) == (run.run.status, run.run.output)


def retry_often(game: Player, at_most: int = LIVES_MAX) -> list[Driver]:
    """Play on, and try the run again each time that it has failed. The lives that it had."""
    lives = [game.play()]
    while lives[-1].ended == "failed" and len(lives) <= at_most:
        game.driver = retried(lives[-1], later_ms=1_000)
        lives.append(game.driver if game.driver.ended else game.play())
    return lives


@examples(80)
@given(programs(), VALUES, SEEDS)
def test_a_run_that_is_tried_again_as_often_as_it_fails_completes_unless_a_node_refuses_its_input(
    program: Program, value: Any, seed: int
) -> None:
    lives = retry_often(player(program, value, seed))
    hopeless = any(isinstance(block, Task) and block.picky for block in blocks(program.root))
    assert len(lives) > LIVES_MAX or hopeless or lives[-1].ended == "completed" or lives[-1].error.type not in ("boom", "timeout")


@examples(80)
@given(programs(), VALUES, SEEDS, st.data())
def test_folding_and_restoring_a_reopened_run_leads_to_the_same_state(program: Program, value: Any, seed: int, data: st.DataObject) -> None:
    run = retry_often(player(program, value, seed), 3)[-1]
    assume(isinstance(run, ReopenedDriver))
    assert digest(fold(run.plan, run.journal, keep=True)) == digest(run.run)
    n = data.draw(st.integers(1, len(run.journal)))
    part = state_at(run.plan, run.journal, n)
    assert part.records == n
    restored = restore(run.plan, snapshot(part))
    assert digest(restored) == digest(part) and snapshot(restored) == snapshot(part)


@examples(80)
@given(programs(), VALUES, SEEDS, st.integers(1, 30))
def test_a_run_that_was_stopped_at_any_moment_and_tried_again_executes_nothing_completed_again(
    program: Program, value: Any, seed: int, after: int
) -> None:
    assume(not any(isinstance(block, Task) and block.undo for block in blocks(program.root)))
    game = player(program, value, seed)
    for _ in range(after):
        game.step()
    assume(not game.driver.ended)
    before = {name for name, view in nodes(game.driver.run).items() if view.status == "completed"}
    game.driver.cancel(kill=True)
    run = retried(game.driver)
    completed = {name for name, view in nodes(run.run).items() if view.status == "completed"}
    assert before <= completed
    assert to_retry(run.plan, run.journal) == to_retry(run.plan, run.journal)

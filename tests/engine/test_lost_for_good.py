"""Payloads that are lost for good: who cannot be executed again, and how the consumer fails then."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas.effects import CancelTask
from jetfleet.schemas.records import Completion, Error

from .driving import Driver
from .refs import CHAIN, a_ref, lose, lost_once


@pytest.mark.parametrize(
    ("producers", "reason"),
    [
        ([{"run": "r1", "activation": [0], "again": False}], "@node(idempotent=True)"),
        ([{"run": "r9", "activation": [0], "again": True}], "by run r9"),
        ([{"run": "r1", "activation": [], "again": True}], "with the event"),
        ([{"run": "r1", "activation": [0, 3], "again": True}], "that is over"),
        ([{"run": "r1", "activation": [1], "again": True}], "has not completed"),
        ([{"run": "r1", "activation": ["x"], "again": True}], "that is over"),
        ([{"run": "r1", "activation": 7, "again": True}], "nobody knows"),
        (["p"], "nobody knows"),
        ("p", "nobody knows"),
        ([], "nobody knows"),
        (None, "nobody knows"),
    ],
)
def test_what_cannot_be_made_again_fails_the_consumer_with_the_reason(producers: Any, reason: str) -> None:
    run = Driver(CHAIN.replace("c: {type: x.c}", "c: {type: x.c, retry: {max_attempts: 5}}"))
    run.complete("p", a_ref(run, "p"))
    task = run.open.pop("c")
    error = Error("payload_lost", "the bytes are nowhere", True, details=None if producers is None else {"producers": producers})
    run.give(Completion("r1", run.now, task.activation, 1, error=error))
    assert (run.ended, run.error.type, run.error.retryable, run.error.node) == ("failed", "payload_lost", False, "c")
    assert reason in run.error.message


def test_a_consumer_that_fails_for_good_goes_by_its_error_edge() -> None:
    run = Driver(CHAIN.replace("{from: c, to: d}", "{from: c.error, to: d}"))
    old = a_ref(run, "p", again=False)
    run.complete("p", old)
    lose(run, "c", old)
    assert list(run.open) == ["d"] and run.input("d")["type"] == "payload_lost"


def test_a_producer_that_fails_when_it_is_executed_again_fails_all_who_wait_for_it() -> None:
    run = Driver(
        """
        nodes: {p: {type: x.p, retry: {max_attempts: 3}}, b: {type: x.b}, c: {type: x.c}, m: {type: x.m}}
        edges: [{from: p, to: b}, {from: p, to: c}, {from: b.error, to: m}, {from: c.error, to: m}]
        """
    )
    old = a_ref(run, "p")
    run.complete("p", old)
    lose(run, "b", old)
    lose(run, "c", old)
    run.fail("p", "boom")
    assert run.statuses("p", "b", "c") == ["completed", "failed", "failed"]
    assert {error["type"] for error in run.input("m").values()} == {"payload_lost"}
    assert all("boom" in error["message"] for error in run.input("m").values())


def test_the_failure_of_one_of_several_producers_calls_the_others_back() -> None:
    run = Driver("nodes: {p: {type: x.p}, q: {type: x.q}, c: {type: x.c}}\nedges: [{from: p, to: c}, {from: q, to: c}]")
    refs = [a_ref(run, "p"), a_ref(run, "q")]
    run.complete("p", refs[0])
    run.complete("q", refs[1])
    lose(run, "c", *refs)
    run.fail("q")
    assert run.ended == "failed" and [(cancel.activation, cancel.attempt) for cancel in run.all(CancelTask)] == [(run.address("p"), 2)]


def test_a_producer_whose_own_producer_cannot_be_executed_again_fails_the_consumer() -> None:
    run = Driver("nodes: {a: {type: x.a}, p: {type: x.p}, c: {type: x.c}}\nedges: [{from: a, to: p}, {from: p, to: c}]")
    source, old = a_ref(run, "a", again=False), a_ref(run, "p")
    run.complete("a", source)
    run.complete("p", old)
    lose(run, "c", old)
    lose(run, "p", source)
    assert (run.ended, run.error.type, run.error.node) == ("failed", "payload_lost", "c")
    assert "'a'" in run.error.message and "idempotent" in run.error.message


def test_a_producer_that_says_it_waits_for_itself_is_not_believed() -> None:
    run, old = lost_once()
    lose(run, "p", old)
    assert (run.ended, run.error.type) == ("failed", "payload_lost") and "waits for it itself" in run.error.message


def test_a_producer_that_goes_another_way_when_it_is_executed_again_is_no_help() -> None:
    run = Driver("nodes: {p: {type: x.p}, c: {type: x.c}, r: {type: x.r}}\nedges: [{from: p, to: c}, {from: p.no, to: r}]")
    old = a_ref(run, "p")
    run.complete("p", old)
    lose(run, "c", old)
    run.complete("p", old, port="no")
    assert run.ended == "failed" and "by port 'no'" in run.error.message


def test_a_producer_that_puts_out_no_value_the_second_time_is_no_help() -> None:
    run, _ = lost_once()
    task = run.open.pop("p")
    run.give(Completion("r1", run.now, task.activation, task.attempt, output=b"\xc1"))
    assert run.ended == "failed" and "put out no value" in run.error.message


def test_what_is_lost_again_and_again_is_made_again_three_times() -> None:
    run = Driver(CHAIN)
    run.complete("p", a_ref(run, "p"))
    rounds = 0
    while not run.ended:
        lose(run, "c", a_ref(run, "p"))
        if run.open:
            rounds += 1
            run.complete("p", a_ref(run, "p"))
    assert rounds == 3 and (run.error.type, run.error.retryable) == ("payload_lost", False)


def test_what_an_item_made_that_is_over_is_not_made_again_in_any_run() -> None:
    flow = """
        nodes: {s: {type: std::split, config: {field: $}}, w: {type: x.w}, c: {type: x.c}}
        edges: [{from: s.item, to: w}, {from: s.done, to: c}]
        """
    for keep in (True, False):
        run = Driver(flow, [1], keep=keep)
        old = a_ref(run, "w[0]")
        run.complete("w[0]", old)
        lose(run, "c", old)
        assert run.ended == "failed" and "that is over" in run.error.message


def test_what_the_last_iteration_of_a_loop_made_is_made_again() -> None:
    run = Driver(
        """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, w: {type: x.w}, c: {type: x.c}}
        edges: [{from: l.continue, to: w}, {from: w, to: l}, {from: l.exit, to: c}]
        """,
        keep=False,
    )
    run.complete("w[0]", 0)
    old, new = a_ref(run, "w[1]"), a_ref(run, "w[1]")
    run.complete("w[1]", old)
    lose(run, "c", old)
    run.complete("w[1]", new)
    assert run.input("c") == new

"""Explanations: each sentence is about something that happened, and a waiting run is told what would move it."""

from __future__ import annotations

from jetfleet.broker.engine import reopen, to_retry
from jetfleet.broker.study.explanation import explain
from jetfleet.broker.study.studied import Studied
from jetfleet.schemas.records import RunReopened

from ..engine.driving import START, Driver
from .played import ORDER, SPLIT, order, studied


def told(driver: Driver) -> str:
    return "\n".join(explain(studied(driver), driver.now).sentences)


def test_a_run_begins_with_what_started_it_and_ends_with_how_it_ended() -> None:
    said = explain(studied(order(3)), START).sentences
    assert "was started by trigger api (manual) at 1970-01-01 00:16:40.000 UTC." in said[0]
    assert said[-1] == "The run completed after 0 ms."


def test_what_was_skipped_says_which_way_was_dead_and_why() -> None:
    said = told(order(3))
    assert "big completed and chose false (n > 9)." in said
    assert "refuse was skipped: big went by false, not by true (n > 9)." in said
    assert "report was skipped: trigger nightly did not fire, api did." in said


def test_a_failure_says_what_came_of_it_and_how_to_go_on() -> None:
    said = told(order(30))
    assert "refuse failed: too_big: no more. Nothing catches that, so the run fails." in said
    assert "The run failed after 0 ms at refuse: too_big: no more." in said
    assert said.endswith("To let it go on from there: jetfleet runs retry r1")


def test_attempts_that_failed_before_are_told_with_their_errors() -> None:
    assert "at attempt 3 (before: 2 × boom: check failed)" in told(order(3, fails=2))


def test_an_error_edge_and_a_scope_are_named_as_what_took_a_failure() -> None:
    flow = """
    nodes:
      pay: {type: f.echo}
      note: {type: f.echo}
    edges: [{from: pay.error, to: note}]
    """
    driver = Driver(flow)
    driver.fail("pay")
    assert "pay failed: boom: pay failed. Its error edge led to note." in told(driver.work())


def test_a_run_that_waits_says_for_what_and_the_command_that_moves_it() -> None:
    flow = "nodes: {a: {type: std::wait, config: {signal: paid}}, b: {type: f.echo}}\nedges: [{from: a, to: b}]"
    driver = Driver(flow)
    explanation = explain(studied(driver), driver.now)
    (wait,) = explanation.waits
    assert wait.what == "a waits for the signal paid"
    assert wait.move.command == "jetfleet runs signal r1 paid 'JSON'"
    assert "b has not been reached yet." in explanation.nodes
    driver.pause()
    assert "jetfleet runs resume r1" in told(driver)


def test_many_items_are_counted_and_the_ones_that_failed_are_told() -> None:
    driver = Driver(SPLIT, {"rows": list(range(10))}, trigger="api").work()
    assert "work, 10 times: 10 completed." in told(driver)
    failing = Driver(SPLIT, {"rows": list(range(10))}, trigger="api")
    failing.complete("work[0]")
    failing.complete("work[1]")
    failing.complete("work[2]")
    failing.fail("work[3]", retryable=False)
    said = told(failing)
    assert "work[3] failed: boom: work[3] failed. So this part of each failed." in said
    assert "3 completed" in said


def test_a_run_that_was_tried_again_says_so_and_is_told_as_it_is_now() -> None:
    driver = Driver(ORDER, {"n": 3}, trigger="api")
    driver.cancel(reason="too slow")
    after = len(driver.journal)
    record = RunReopened("r1", driver.now, after, to_retry(driver.plan, driver.journal), reason="once more")
    reopen(driver.plan, driver.journal, record)
    run = Studied(driver.plan, [*driver.journal, record])
    said = explain(run, driver.now).sentences
    assert said[1].startswith("It was tried again") and said[1].endswith("because: once more.")
    assert run.status == "running" and "check is running" in "\n".join(said)


def test_who_cancelled_a_run_is_told_with_the_reason() -> None:
    driver = Driver(ORDER, {"n": 3}, trigger="api")
    driver.cancel(reason="too slow")
    said = told(driver)
    assert "because somebody asked for it: too slow." in said
    assert "check was cancelled" in said

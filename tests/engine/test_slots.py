"""Runs that keep to limits: queued until they have their slots, and whatever becomes of them, all is given back.

That nothing is asked for twice, given back twice or left over at the end is what `Driver` checks in every turn.
"""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.engine import blocked_on, decide, digest, fold, is_queued, outstanding, reopen, restore, snapshot
from jetfleet.broker.engine.gate import LIMIT_REACHED, SUPERSEDED
from jetfleet.broker.engine.reopening import to_retry
from jetfleet.schemas.effects import Dispatch, ReleaseSlot, WantSlot
from jetfleet.schemas.errors import InvalidFlow
from jetfleet.schemas.records import RunReopened, SlotGranted

from .driving import Driver, compiled


def limited(settings: dict[str, Any], **node: Any) -> dict[str, Any]:
    """`a`, then `b`."""
    nodes = {"a": {"type": "t.work", **node}, "b": {"type": "t.work"}}
    edges = [{"from": "go", "to": "a"}, {"from": "a", "to": "b"}]
    return {"triggers": [{"id": "go", "type": "manual"}], "settings": settings, "nodes": nodes, "edges": edges}


def start(settings: dict[str, Any], value: Any = None, **node: Any) -> Driver:
    return Driver(limited(settings, **node), value, trigger="go")


SEVERAL = {
    "concurrency": [{"max": 9, "limit": "zoo"}, {"max": 3, "key": "${trigger.payload.tenant}"}],
    "rate": {"max": 5, "per": "1s"},
}


# --- the run's own limits


def test_a_run_enters_when_it_has_all_its_slots_asked_for_one_after_the_other_the_rate_last() -> None:
    run = start(SEVERAL, {"tenant": "acme"})
    asked = []
    while not run.open:
        asked.append(run.wants()[-1])
        assert is_queued(run.run)
        run.grant()
    assert asked == ["=flow:f.2:acme", "=shared:zoo:", "=rate:f:"]
    assert run.wants() == asked[:2], "a rate's place is given back at once, the others are kept"
    assert run.work().ended == "completed"


def test_a_place_in_time_is_waited_for_and_then_the_run_enters() -> None:
    run = start({"rate": {"max": 1, "per": "1m"}})
    run.grant(in_ms=30_000)
    assert not run.open and run.due_in("", "slot") == 30_000
    run.fire("", "slot")
    assert run.work().ended == "completed"


def test_the_time_of_a_run_begins_when_it_enters_and_its_time_to_live_with_its_event() -> None:
    run = start({"concurrency": {"max": 1}, "execution_timeout_ms": 5_000, "ttl": "10s"})
    assert run.timer_names() == [("", "ttl")]
    run.now += 7_000
    run.grant()
    assert (run.due_in("", "run"), run.due_in("", "ttl")) == (5_000, 3_000)
    run.fire("", "ttl")
    assert (run.ended, run.error.type) == ("cancelled", "expired")


def test_a_run_whose_time_to_live_is_over_undoes_what_it_has_completed() -> None:
    undone = limited({"ttl": "1h"}, compensate="c")
    undone["nodes"]["c"] = {"type": "t.work"}
    run = Driver(undone, trigger="go")
    run.complete("a")
    run.fire("", "ttl")
    assert list(run.open) == ["c"]
    assert run.work().ended == "cancelled"


def test_a_run_that_is_refused_fails_for_good() -> None:
    run = start({"concurrency": {"max": 1, "on_limit": "reject"}})
    run.grant(refused=LIMIT_REACHED)
    assert (run.ended, run.error.type, run.error.retryable) == ("failed", "limit_reached", False)
    assert "1 at a time" in run.error.message and "=flow:f:" in run.error.message


@pytest.mark.parametrize("kill", [True, False])
def test_a_queued_run_that_is_ended_from_outside_waits_for_nothing_any_more(kill: bool) -> None:
    run = start({"concurrency": {"max": 1}, "execution_timeout_ms": 5_000, "ttl": "1h"})
    run.cancel(kill=kill)
    assert run.ended == ("killed" if kill else "cancelled")


def test_a_signal_to_a_queued_run_is_kept_and_a_pause_holds_what_it_would_start() -> None:
    flow = limited({"concurrency": {"max": 1}})
    flow["nodes"]["a"] = {"type": "std::wait", "config": {"signal": "go"}}
    run = Driver(flow, trigger="go")
    run.signal("go", 7)
    run.pause()
    run.grant()
    assert not run.open and run.wants(), "a paused run keeps what it was granted"
    run.resume()
    assert list(run.open) == ["b"]


def test_priority_and_fairness_are_told_to_every_limit() -> None:
    settings = {"concurrency": {"max": 1}, "priority": "${trigger.payload.p}", "fairness": "${trigger.payload.who}"}
    run = start(settings, {"p": "12", "who": "acme"}, concurrency={"max": 1})
    run.grant()
    wants = run.all(WantSlot)
    assert [(want.priority, want.fair) for want in wants] == [(12, "acme")] * 2
    for odd in ("high", None, 1.5, 1e300, True):
        assert start(settings, {"p": odd}).all(WantSlot)[0].priority == 0


def test_a_missing_key_is_the_empty_one_and_a_long_one_is_hashed() -> None:
    keyed = {"concurrency": {"max": 1, "key": "${trigger.payload.tenant}"}}
    assert start(keyed, {}).wants() == ["=flow:f:"]
    assert start(keyed, {"tenant": 7}).wants() == ["=flow:f:7"]
    (long,) = start(keyed, {"tenant": "x" * 5_000}).wants()
    assert len(long) < 100


def test_a_key_that_reads_a_node_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidFlow) as refused:
        compiled(limited({"concurrency": {"max": 1, "key": "${a.tenant}"}}))
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("INVALID_SELECTOR", ("settings", "concurrency", "key"))
    assert "before any node has run" in problem.message


def test_blocked_on_names_the_limit() -> None:
    run = start({"concurrency": {"max": 5, "key": "k"}})
    (reason,) = blocked_on(run.run)
    assert (reason.node, reason.reason) == ("run", "limit")
    assert "=flow:f:k" in reason.detail and "5 at a time" in reason.detail


# --- limits of nodes

NODE = {"max": 2, "key": "${trigger.payload.bank}"}


def test_an_attempt_waits_for_its_slot_and_gives_it_back_when_it_ends() -> None:
    run = start({}, {"bank": "x"}, concurrency=NODE)
    assert run.statuses("a") == ["waiting"] and run.wants("a") == ["=node:f.a:x"]
    assert blocked_on(run.run)[0].reason == "limit"
    run.grant("a")
    run.complete("a")
    assert run.all(ReleaseSlot) and not run.wants("a")
    assert run.work().ended == "completed"


def test_every_attempt_asks_anew_and_none_is_held_while_it_waits_to_be_tried_again() -> None:
    run = start({}, {}, concurrency=NODE, retry={"max_attempts": 3, "jitter": False})
    for attempt in (1, 2):
        run.grant("a")
        assert run.open["a"].attempt == attempt
        run.fail("a")
        assert not run.wants("a")
        run.fire("a", "retry")
    run.grant("a")
    assert run.work().ended == "completed"


def test_an_attempt_that_is_refused_is_tried_again_as_its_policy_says_and_one_that_is_driven_out_is_not() -> None:
    policy = {"max_attempts": 2, "jitter": False}
    run = start({}, {}, concurrency=NODE | {"on_limit": "reject"}, retry=policy)
    run.grant("a", refused=LIMIT_REACHED)
    run.fire("a", "retry")
    run.grant("a", refused=LIMIT_REACHED)
    assert (run.ended, run.error.type) == ("failed", "concurrency_limit")

    for granted_before in (True, False):
        run = start({}, {}, concurrency=NODE | {"on_limit": "cancel_oldest"}, retry=policy)
        want = run.slots["a", "=node:f.a:"]
        if granted_before:
            run.grant("a")
        run.give(SlotGranted("r1", run.now, want.activation, want.attempt, want.limit, refused=SUPERSEDED))
        assert (run.ended, run.error.type, run.error.retryable) == ("failed", "concurrency_limit", False)


def test_a_slot_granted_to_a_paused_run_is_used_when_it_goes_on() -> None:
    run = start({}, {}, concurrency=NODE)
    run.pause()
    run.grant("a")
    assert not run.open
    run.resume()
    assert list(run.open) == ["a"]
    run.work()


def test_items_of_a_split_share_the_limit_of_their_node_and_a_failure_gives_all_back() -> None:
    flow = {
        "nodes": {
            "each": {"type": "std::split", "config": {"field": "$", "mode": "parallel", "max_parallel": 5}},
            "w": {"type": "t.work", "concurrency": {"max": 2}},
        },
        "edges": [{"from": "each.item", "to": "w"}],
    }
    run = Driver(flow, [1, 2, 3, 4, 5, 6])
    run.grant("w[0]")
    run.grant("w[3]")
    run.complete("w[0]", "done")
    assert run.wants("w[5]"), "the next item has begun, and asks"
    run.fail("w[3]")
    assert run.ended == "failed", "with nothing left over"


def test_a_branch_that_lost_gives_its_slot_back() -> None:
    flow = {
        "nodes": {
            "fast": {"type": "t.work"}, "slow": {"type": "t.work", "concurrency": {"max": 1}},
            "any": {"type": "std::merge", "config": {"strategy": "any", "cancel_others": True}},
        },
        "edges": [{"from": "fast", "to": "any"}, {"from": "slow", "to": "any"}],
    }  # fmt: skip
    for granted in (True, False):
        run = Driver(flow)
        if granted:
            run.grant("slow")
        run.complete("fast")
        assert run.ended == "completed"


# --- what comes late, twice, or after a crash


def test_a_grant_that_nobody_waits_for_is_given_back_and_a_repeated_one_changes_nothing() -> None:
    run = start({"concurrency": {"max": 1}}, {}, concurrency=NODE)
    own = SlotGranted("r1", run.now, (), 1, "=flow:f:")
    run.grant()
    assert run.give(own) == []
    run.grant("a")
    granted = SlotGranted("r1", run.now, (0,), 1, "=node:f.a:")
    assert run.give(granted) == []
    run.complete("a")
    for late in (granted, SlotGranted("r1", run.now, (), 1, "=flow:other:"), SlotGranted("r1", run.now, (77,), 4, "=x")):
        before = digest(run.run)
        assert decide(run.run, late) == [ReleaseSlot("r1", late.activation, late.attempt, late.limit)]
        assert digest(run.run) == before
    run.work()


def test_a_restored_run_asks_for_what_it_waits_for_and_goes_on_like_the_one_it_was() -> None:
    run = start(SEVERAL, {"tenant": "acme"}, concurrency=NODE)
    for _ in range(5):
        again = restore(run.plan, snapshot(run.run))
        assert digest(again) == digest(run.run) == digest(fold(run.plan, run.journal))
        wants = [effect for effect in outstanding(again) if isinstance(effect, (WantSlot, Dispatch))]
        assert wants == [effect for effect in outstanding(run.run) if isinstance(effect, (WantSlot, Dispatch))]
        run.run = again
        if run.open:
            break
        assert len([want for want in wants if isinstance(want, WantSlot)]) == 1
        run.grant("a" if run.wants("a") else "")
    assert run.work().ended == "completed"


def test_a_run_without_limits_pays_nothing() -> None:
    run = start({})
    assert run.run.rare_ is None
    run.work()
    assert run.run.rare_ is None and not run.all(WantSlot)


# --- runs that are reopened


def again(run: Driver) -> tuple[Driver, list[Any]]:
    """The run as it is tried again, and what it wants then."""
    journal = [*run.journal, RunReopened("r1", run.now + 60_000, len(run.journal), to_retry(run.plan, run.journal))]
    reopened, effects = reopen(run.plan, run.journal, journal[-1])
    other = Driver.__new__(Driver)
    other.__dict__ |= run.__dict__ | {"run": reopened, "journal": journal, "now": run.now + 60_000, "result": None}
    other.timers, other.open, other.slots = {}, {}, {}
    other._take(effects)
    assert digest(fold(run.plan, journal)) == digest(reopened)
    return other, effects


def test_a_run_that_is_tried_again_asks_for_its_slots_anew_before_anything_of_it_goes_on() -> None:
    run = start({"concurrency": {"max": 1}, "ttl": "1h"}, {}, concurrency=NODE)
    run.grant()
    run.grant("a")
    run.complete("a", "done")
    run.fail("b", retryable=False)
    assert run.ended == "failed"
    later, effects = again(run)
    assert [want.attempt for want in effects if isinstance(want, WantSlot)] == [2]
    assert not later.open and is_queued(later.run)
    later.grant()
    assert list(later.open) == ["b"] and later.open["b"].attempt == 2
    assert later.work().value == "done"


def test_what_was_out_with_a_slot_of_its_own_waits_for_one_again() -> None:
    run = start({}, {}, concurrency=NODE)
    run.grant("a")
    run.cancel()
    later, _ = again(run)
    assert later.statuses("a") == ["waiting"] and not later.open
    later.grant("a")
    assert later.open["a"].attempt == 2
    assert later.work().ended == "completed"


def test_a_run_that_was_refused_or_whose_time_was_over_can_be_tried_again() -> None:
    refused = start({"concurrency": {"max": 1, "on_limit": "reject"}})
    refused.grant(refused=LIMIT_REACHED)
    expired = start({"concurrency": {"max": 1}, "ttl": "1m"})
    expired.fire("", "ttl")
    for run in (refused, expired):
        later, _ = again(run)
        assert not later.open
        later.grant()
        assert list(later.open) == ["a"]
        assert later.work().ended == "completed"

"""Waits: approvals, signals, events, timers, delays and children; early, late, repeated and in vain."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import CancelChild, Outcome, StartChild, StopAwaiting
from jetfleet.schemas.records import ChildEnded, Error, SignalReceived

from .driving import Driver


def wait(config: str, more: str = "") -> str:
    return f"""
        nodes: {{q: {{type: std::wait, config: {{{config}}} {more}}}, yes: {{type: x.y}}, no: {{type: x.n}}, up: {{type: x.u}}}}
        edges: [{{from: q, to: yes}}, {{from: q.rejected, to: no}}, {{from: q.escalated, to: up}}]
        """


APPROVAL = wait('hook_id: "order-${trigger.payload.id}", timeout_secs: 60, metadata_fields: [id, who.name, missing]')


# --- approvals


def test_an_approval_asks_by_its_name_with_metadata_and_a_time() -> None:
    run = Driver(APPROVAL, {"id": 7, "who": {"name": "Ann"}})
    asked = run.awaiting["q"]
    assert (asked.kind, asked.name, payloads.decode(asked.metadata)) == ("approval", "order-7", {"id": 7, "name": "Ann"})
    assert asked.due == run.now + 60_000 and run.due_in("q", "wait") == 60_000


@pytest.mark.parametrize(
    ("decision", "name", "node"),
    [
        ("approve", "approve", "yes"),
        ("approved", "approve", "yes"),
        ("Reject", "reject", "no"),
        ("rejected", "reject", "no"),
        ("escalate", "escalate", "up"),
        ("ESCALATED", "escalate", "up"),
    ],
)
def test_a_decision_leads_to_its_port_whichever_way_it_is_written(decision: str, name: str, node: str) -> None:
    run = Driver(APPROVAL, {"id": 7})
    run.signal("order-7", {"decision": decision, "response": {"limit": 5}, "reason": "fine", "by": "Bo"})
    assert list(run.open) == [node]
    said = {"decision": name, "response": {"limit": 5}, "reason": "fine", "timed_out": False, "by": "Bo", "answered_at": run.now}
    assert run.input(node) == {"input": {"id": 7}, **said}
    assert run.timers == {} and run.awaiting == {}


@pytest.mark.parametrize("answer", [None, 5, "approve", {}, {"decision": "perhaps"}, {"decision": None}])
def test_an_answer_that_is_no_decision_is_ignored_and_may_come_again_better(answer: Any) -> None:
    run = Driver(APPROVAL, {"id": 7})
    run.signal("order-7", answer, id="answer-1")
    assert run.ignored == 1 and list(run.awaiting) == ["q"]
    run.signal("order-7", {"decision": "approve"}, id="answer-1")
    assert list(run.open) == ["yes"]


def test_an_answer_for_another_approval_is_not_taken() -> None:
    run = Driver(APPROVAL, {"id": 7})
    run.signal("order-8", {"decision": "approve"})
    assert list(run.awaiting) == ["q"]


def test_an_approval_that_is_answered_is_asked_no_more() -> None:
    run = Driver(APPROVAL, {"id": 7})
    run.signal("order-7", {"decision": "approve"})
    assert [stop.name for stop in run.all(StopAwaiting)] == ["order-7"]


@pytest.mark.parametrize(("action", "node"), [("approve", "yes"), ("reject", "no"), ("escalate", "up"), ("rejected", "no")])
def test_a_wait_in_vain_takes_its_action(action: str, node: str) -> None:
    run = Driver(wait(f"hook_id: h, timeout_ms: 5, timeout_action: {action}"), 1)
    run.fire("q", "wait")
    assert list(run.open) == [node] and run.awaiting == {}
    assert (run.input(node)["timed_out"], run.input(node)["input"]) == (True, 1)


def test_a_wait_in_vain_is_rejected_unless_told_otherwise() -> None:
    run = Driver(wait("signal: s, timeout_ms: 5"), 1)
    run.fire("q", "wait")
    assert run.input("no")["decision"] == "reject"


def test_a_wait_in_vain_can_fail_and_be_tried_again() -> None:
    run = Driver(wait("hook_id: h, timeout_ms: 5, timeout_action: fail", ", retry: {max_attempts: 2}"), 1)
    run.fire("q", "wait")
    assert run.awaiting == {}
    run.fire("q", "retry")
    assert list(run.awaiting) == ["q"]
    run.fire("q", "wait")
    assert (run.ended, run.error.type, run.error.attempts) == ("failed", "timeout", 2)


def test_an_escalation_leads_to_the_next_approval() -> None:
    flow = """
        nodes:
          manager: {type: std::wait, config: {hook_id: m, timeout_secs: 3600, timeout_action: escalate}}
          director: {type: std::wait, config: {hook_id: d, timeout_secs: 1800}}
          process: {type: x.p}
        edges: [{from: manager, to: process}, {from: manager.escalated, to: director}, {from: director, to: process}]
        """
    run = Driver(flow, 1)
    run.fire("manager", "wait")
    run.signal("d", {"decision": "approve"})
    assert list(run.open) == ["process"]


# --- signals and events


def test_a_signal_carries_its_payload_on() -> None:
    run = Driver(wait("signal: go"), 1)
    run.signal("go", {"x": 2})
    assert run.input("yes") == {"input": 1, "decision": None, "response": {"x": 2}, "reason": None, "timed_out": False}


LATER = """
    nodes: {a: {type: x.a}, q: {type: std::wait, config: {%s}}, r: {type: std::wait, config: {%s}}, d: {type: x.d}}
    edges: [{from: a, to: q}, {from: q, to: r}, {from: r, to: d}]
    """


def test_early_signals_are_kept_and_each_is_applied_once_oldest_first() -> None:
    run = Driver(LATER % ("signal: go", "signal: go"), 0)
    run.signal("go", "first")
    run.signal("go", "second")
    run.complete("a")
    assert run.output("q")["response"] == "first"
    assert run.input("d")["response"] == "second" and run.ignored == 0


def test_an_early_signal_serves_one_wait_only() -> None:
    run = Driver(LATER % ("signal: go", "signal: go"), 0)
    run.signal("go", "first")
    run.complete("a")
    assert run.statuses("q", "r") == ["completed", "waiting"]


def test_an_early_answer_that_is_no_decision_does_not_answer_an_approval() -> None:
    run = Driver(LATER % ("hook_id: h", "signal: go"), 0)
    run.signal("h", "rubbish")
    run.signal("h", {"decision": "approve"})
    run.complete("a")
    assert run.statuses("q", "r") == ["completed", "waiting"]


def test_a_signal_with_an_id_is_applied_once() -> None:
    run = Driver(LATER % ("signal: go", "signal: go"), 0)
    run.complete("a")
    run.signal("go", 1, id="s1")
    run.signal("go", 1, id="s1")
    assert run.statuses("q", "r") == ["completed", "waiting"] and run.ignored == 1


def test_early_signals_beyond_the_bound_are_ignored_and_counted() -> None:
    run = Driver(LATER % ("signal: go", "signal: go"), 0)
    for _ in range(1_002):
        run.signal("go")
    assert run.ignored == 2


CORRELATED = 'event: paid, correlate: {order.id: "${trigger.payload.id}"}'


def test_an_event_resumes_only_the_wait_that_it_correlates_with() -> None:
    run = Driver(wait(CORRELATED), {"id": 7})
    run.event("paid", {"order": {"id": 8}})
    run.event("sent", {"order": {"id": 7}})
    assert list(run.awaiting) == ["q"]
    run.event("paid", {"order": {"id": 7}, "n": 1})
    assert run.input("yes")["response"] == {"order": {"id": 7}, "n": 1}


def test_an_early_event_is_kept_for_the_wait_that_it_correlates_with() -> None:
    run = Driver(LATER % (CORRELATED, "event: paid"), {"id": 7})
    run.event("paid", {"order": {"id": 8}})
    run.event("paid", {"order": {"id": 7}})
    run.complete("a")
    assert run.output("q")["response"] == {"order": {"id": 7}}
    assert run.input("d")["response"] == {"order": {"id": 8}}


def test_an_event_resumes_every_wait_that_it_correlates_with() -> None:
    run = Driver("nodes: {q: {type: std::wait, config: {event: go}}, r: {type: std::wait, config: {event: go}}}")
    run.event("go", 1)
    assert run.ended == "completed"


def test_a_signal_resumes_the_one_that_has_waited_longest() -> None:
    run = Driver(
        "nodes: {q: {type: std::wait, config: {signal: go}}, a: {type: x.a}, r: {type: std::wait, config: {signal: go}}}\nedges: [{from: a, to: q}]"
    )
    run.complete("a")
    run.signal("go", 1)
    assert run.statuses("q", "r") == ["waiting", "completed"]


# --- timers


def test_a_delay_hands_its_input_on_when_its_time_has_come() -> None:
    run = Driver("nodes: {t: {type: std::delay, config: {duration_ms: 250}}, a: {type: x.a}}\nedges: [{from: t, to: a}]", {"n": 1})
    assert run.due_in("t", "delay") == 250
    run.fire("t", "delay")
    assert run.input("a") == {"n": 1}


@pytest.mark.parametrize("given", [None, "soon", -1, [], True])
def test_a_delay_of_no_duration_is_an_error(given: Any) -> None:
    run = Driver('nodes: {t: {type: std::delay, config: {duration_ms: "${trigger.payload.ms}"}}}', {"ms": given})
    assert run.error.type == "invalid_config"


def test_a_timeout_alone_can_resume_a_wait() -> None:
    run = Driver(wait("resume_method: timeout, timeout_secs: 2, timeout_action: approve"), 3)
    assert run.awaiting == {} and run.due_in("q", "wait") == 2_000
    run.fire("q", "wait")
    assert run.input("yes")["timed_out"] is True


# --- sub-flows


def child(config: str = "", more: str = "") -> str:
    return f"""
        nodes: {{c: {{type: std::subflow, config: {{flow: other {config}}} {more}}}, a: {{type: x.a}}, rescue: {{type: x.r}}}}
        edges: [{{from: c, to: a}}, {{from: c.error, to: rescue}}]
        """


def test_a_child_gets_the_nodes_input_and_gives_its_output() -> None:
    run = Driver(child(', version: "2"'), {"n": 1})
    started = run.children["c"]
    assert (started.child, started.flow, started.version, payloads.decode(started.input)) == ("r1.c", "other", "2", {"n": 1})
    run.child_ended("c", {"done": True})
    assert run.input("a") == {"done": True}


def test_a_child_can_be_given_another_input() -> None:
    run = Driver(child(', input: {x: "${trigger.payload.n}"}'), {"n": 1})
    assert payloads.decode(run.children["c"].input) == {"x": 1}


def test_the_error_of_a_child_is_carried_with_its_type() -> None:
    run = Driver(child())
    run.child_ended("c", status="failed", error=Error("out_of_stock", "nothing left", False, "pick", 3, {"sku": 1}))
    error = run.input("rescue")
    assert (error["type"], error["message"], error["node"], error["details"]) == ("out_of_stock", "nothing left", "c", {"sku": 1})


@pytest.mark.parametrize("status", ["cancelled", "killed", "failed"])
def test_a_child_that_ended_without_an_error_of_its_own_fails_by_its_status(status: str) -> None:
    run = Driver(child())
    run.child_ended("c", status=status)
    assert run.input("rescue")["type"] == status


def test_a_child_is_started_anew_under_another_id_when_tried_again() -> None:
    run = Driver(child(more=", retry: {max_attempts: 2}"))
    run.child_ended("c", status="failed", error=Error("boom", "", True))
    run.fire("c", "retry")
    assert run.children["c"].child == "r1.c.2"


def test_the_end_of_an_earlier_child_is_ignored() -> None:
    run = Driver(child(more=", retry: {max_attempts: 2}"))
    run.child_ended("c", status="failed", error=Error("boom", "", True))
    run.fire("c", "retry")
    run.give(ChildEnded("r1", run.now, run.address("c"), 1, "r1.c", "completed", payloads.encode("late")))
    assert run.ignored == 1
    run.child_ended("c", "in time")
    assert run.input("a") == "in time"


def test_a_child_that_takes_too_long_is_cancelled() -> None:
    run = Driver(child(more=", timeout_ms: 400"))
    run.fire("c", "timeout")
    assert [effect.child for effect in run.all(CancelChild)] == ["r1.c"]
    assert run.input("rescue")["type"] == "timeout"


@pytest.mark.parametrize("kill", [True, False])
def test_cancelling_reaches_the_children(kill: bool) -> None:
    run = Driver(child())
    run.cancel(kill=kill)
    assert [(effect.child, effect.kill) for effect in run.all(CancelChild)] == [("r1.c", kill)]


def test_nobody_waits_for_a_detached_child() -> None:
    run = Driver(child(", detached: true"))
    assert [effect.detached for effect in run.all(StartChild)] == [True]
    assert run.input("a") == {"run_id": "r1.c"}
    run.cancel()
    assert run.all(CancelChild) == []


def test_children_of_items_have_ids_of_their_own() -> None:
    flow = "nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, c: {type: std::subflow, config: {flow: other}}}\nedges: [{from: s.item, to: c}]"
    run = Driver(flow, [1, 2])
    assert [started.child for started in run.all(StartChild)] == ["r1.c[0]", "r1.c[1]"]
    run.child_ended("c[1]", "b")
    run.child_ended("c[0]", "a")
    assert run.value == ["a", "b"]


@pytest.mark.parametrize("config", ["{type: std::wait, config: {signal: go}", "{type: std::delay, config: {duration_ms: 90000}"])
def test_a_timeout_of_the_node_itself_ends_its_waiting_as_a_failure(config: str) -> None:
    run = Driver(f"nodes: {{w: {config}, timeout_ms: 100}}}}")
    assert run.due_in("w", "timeout") == 100
    run.fire("w", "timeout")
    assert (run.ended, run.error.type) == ("failed", "timeout")


def test_a_wait_that_ends_in_time_clears_the_timeout_of_its_node() -> None:
    run = Driver("nodes: {w: {type: std::wait, config: {signal: go}, timeout_ms: 100}}")
    run.signal("go", 1)
    assert run.ended == "completed" and run.timer_names() == []


# --- what is asked of whom, and what fits


LIMITED = wait(
    'hook_id: h, assignees: ["${trigger.payload.boss}", ann], schema: {type: object, required: [limit], properties: {limit: {type: number}}}'
)


def test_an_approval_says_whose_it_is_and_which_wait_of_the_run() -> None:
    asked = Driver(LIMITED, {"boss": "bo"}).awaiting["q"]
    assert (asked.assignees, asked.wait) == (("bo", "ann"), 1)


@pytest.mark.parametrize(("given", "told"), [('"${trigger.payload.who}"', ("a", "b")), ("cy", ("cy",)), ('"${trigger.payload.gone}"', ())])
def test_assignees_are_a_text_or_a_list_of_texts(given: str, told: tuple[str, ...]) -> None:
    run = Driver(wait(f"hook_id: h, assignees: {given}"), {"who": ["a", "b", "a"]})
    assert run.awaiting["q"].assignees == told


def test_an_approval_takes_only_a_response_that_fits_its_schema_and_a_no_needs_none() -> None:
    run = Driver(LIMITED, {"boss": "bo"})
    run.signal("h", {"decision": "approve"})
    run.signal("h", {"decision": "approve", "response": {"limit": "high"}})
    run.signal("h", {"decision": "reject", "response": {}})
    assert run.ignored == 3 and list(run.awaiting) == ["q"]
    run.signal("h", {"decision": "reject"})
    assert list(run.open) == ["no"]


def test_a_signal_ends_the_wait_that_it_fits() -> None:
    flow = """
        nodes:
          text: {type: std::wait, config: {signal: go, schema: {type: string}}}
          number: {type: std::wait, config: {signal: go, schema: {type: number}}}
        """
    run = Driver(flow, 0)
    run.signal("go", 5)
    assert run.statuses("text", "number") == ["waiting", "completed"]
    run.signal("go", 6)
    assert run.ignored == 1 and run.statuses("text") == ["waiting"]


def test_an_early_signal_that_does_not_fit_is_kept_for_a_wait_that_it_fits() -> None:
    run = Driver(LATER % ("signal: go, schema: {type: string}", "signal: go, schema: {type: number}"), 0)
    run.signal("go", 5)
    run.complete("a")
    assert run.statuses("q") == ["waiting"]
    run.signal("go", "x")
    assert run.input("d")["response"] == 5


def test_an_answer_that_names_its_wait_answers_no_later_one() -> None:
    run = Driver(LATER % ("hook_id: h", "hook_id: h"), 0)
    run.complete("a")
    first = run.awaiting["q"].wait
    assert first == 1
    for _ in range(2):
        run.give(SignalReceived("r1", run.now, "h", payloads.encode({"decision": "approve"}), "", first))
    assert run.statuses("q", "r") == ["completed", "waiting"]
    assert (run.ignored, run.awaiting["r"].wait) == (1, 2)


def test_what_became_of_an_approval_is_said_when_it_is_asked_no_more() -> None:
    run = Driver(wait("hook_id: h, timeout_ms: 5, timeout_action: escalate"), 1)
    run.signal("h", {"decision": "approve", "by": "Bo", "reason": "fine"}, id="a-1")
    assert run.all(StopAwaiting)[-1].outcome == Outcome("approve", run.now, "Bo", "fine", False, "a-1")
    late = Driver(wait("hook_id: h, timeout_ms: 5, timeout_action: escalate"), 1)
    late.fire("q", "wait")
    assert late.all(StopAwaiting)[-1].outcome == Outcome("escalate", late.now, timed_out=True)

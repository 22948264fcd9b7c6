"""Lost payloads where scopes, iterations and other runs come in: who makes them again, and who is called back."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.engine import digest, outstanding, restore, snapshot
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import CancelTask, StartChild
from jetfleet.schemas.records import Error

from .driving import Driver
from .refs import CHAIN, a_ref, lose, lost_once


def child_lost(run: Driver, name: str, *producers: tuple[str, str]) -> None:
    """The child's run has failed by lost payloads, made by these activations of these runs."""
    made = [{"run": id, "activation": list(run.address(maker)) if id == "r1" else [0], "again": True} for id, maker in producers]
    run.child_ended(name, status="failed", error=Error("payload_lost", "nowhere", False, details={"producers": made}))


def restored(run: Driver) -> None:
    """Go on with what a snapshot says."""
    other = restore(run.plan, snapshot(run.run))
    assert digest(other) == digest(run.run) and outstanding(other) == outstanding(run.run)
    run.run = other


# --- iterations and scopes


def test_what_this_iteration_made_is_made_again_and_the_loop_goes_on() -> None:
    run = Driver(
        """
        nodes: {l: {type: std::loop, config: {max_iterations: 2}}, p: {type: x.p}, c: {type: x.c}}
        edges: [{from: l.continue, to: p}, {from: p, to: c}, {from: c, to: l}]
        """,
        keep=False,
    )
    run.complete("p[0]", 0)
    run.complete("c[0]", 0)
    old, new = a_ref(run, "p[1]"), a_ref(run, "p[1]")
    run.complete("p[1]", old)
    lose(run, "c[1]", old)
    restored(run)
    run.complete("p[1]", new)
    restored(run)
    assert run.input("c[1]") == new
    run.complete("c[1]", "done")
    assert run.value == "done"


def test_what_an_earlier_iteration_made_is_not_made_again_in_any_run() -> None:
    for keep in (True, False):
        run = Driver(
            """
            nodes: {l: {type: std::loop, config: {max_iterations: 2}}, p: {type: x.p}}
            edges: [{from: l.continue, to: p}, {from: p, to: l}]
            """,
            keep=keep,
        )
        old = a_ref(run, "p[0]")
        run.complete("p[0]", old)
        lose(run, "p[1]", old)
        assert run.ended == "failed" and "that is over" in run.error.message


GUARDED = """
    nodes: {p: {type: x.p}, c: {type: x.c}, d: {type: x.d}}
    scopes: {g: {nodes: [p, c], retry: {max_attempts: 2, jitter: false}}}
    edges: [{from: p, to: c}, {from: c, to: d}]
    """


def test_what_a_scope_made_before_it_was_tried_again_stands_for_nothing_that_it_makes_after() -> None:
    run = Driver(GUARDED)
    first = a_ref(run, "p")
    run.complete("p", first)
    lose(run, "c", first)
    run.complete("p", a_ref(run, "p"))
    run.fail("c")
    run.fire("g", "scope_retry")
    second, third = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", second)
    restored(run)
    lose(run, "c", second)
    assert list(run.open) == ["p"], "what is lost now is not what was made again then"
    run.complete("p", third)
    assert run.input("c") == third


def test_who_is_called_off_leaves_the_producer_to_the_others_who_wait() -> None:
    run = Driver(
        """
        nodes: {p: {type: x.p}, b: {type: x.b}, c: {type: x.c}}
        scopes: {g: {nodes: [b], timeout_ms: 1000, on_error: h}}
        edges: [{from: p, to: b}, {from: p, to: c}]
        """.replace("c: {type: x.c}}", "c: {type: x.c}, h: {type: x.h}}")
    )
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    lose(run, "b", old)
    lose(run, "c", old)
    run.fire("g", "scope")
    assert sorted(run.open) == ["h", "p"] and not run.all(CancelTask)
    run.complete("p", new)
    assert run.status("b") == "cancelled" and run.input("c") == new


def test_a_run_whose_time_is_up_calls_the_producer_back() -> None:
    run, _ = lost_once(CHAIN + "\nsettings: {execution_timeout_ms: 5000}")
    run.fire("", "run")
    assert (run.ended, run.error.type) == ("failed", "timeout") and run.all(CancelTask)[-1].attempt == 2


def test_an_item_that_waits_holds_up_only_itself() -> None:
    run = Driver(
        """
        nodes: {s: {type: std::split, config: {field: $, mode: parallel}}, p: {type: x.p}, c: {type: x.c}}
        edges: [{from: s.item, to: p}, {from: p, to: c}]
        """,
        [1, 2],
        keep=False,
    )
    old, new = a_ref(run, "p[0]"), a_ref(run, "p[0]")
    run.complete("p[0]", old)
    run.complete("p[1]", 2)
    lose(run, "c[0]", old)
    run.complete("c[1]", "second")
    restored(run)
    run.complete("p[0]", new)
    assert run.input("c[0]") == new
    run.complete("c[0]", "first")
    assert run.value == ["first", "second"]


def test_a_split_goes_on_over_a_list_of_another_length_that_was_made_again() -> None:
    run = Driver(
        "nodes: {p: {type: x.p}, s: {type: std::split, config: {field: rows}}, w: {type: x.w}}\n"
        "edges: [{from: p, to: s}, {from: s.item, to: w}]"
    )
    old = a_ref(run, "p", items=2)
    run.complete("p", {"rows": old})
    lose(run, "w[0]", old)
    run.complete("p", {"rows": ["small", "now", "and longer"]})
    assert run.input("w[0]") == "small"
    run.work()
    assert run.value == ["small", "now"], "how many items there are was settled when the split began"


# --- compensation


def test_what_was_made_again_is_what_is_undone() -> None:
    run = Driver("nodes: {p: {type: x.p, compensate: u}, c: {type: x.c}, u: {type: x.u}}\nedges: [{from: p, to: c}]")
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", {"rows": old})
    lose(run, "c", old)
    run.complete("p", {"rows": new})
    run.fail("c")
    assert run.input("u") == {"rows": new} and run.dispatched("u") == ["u"]
    restored(run)
    run.complete("u")
    assert (run.ended, run.error.type) == ("failed", "boom")


def test_a_compensation_that_waits_in_a_paused_run_goes_on_when_the_run_is_cancelled() -> None:
    run = Driver(
        """
        nodes: {p: {type: x.p, compensate: u}, c: {type: x.c}, u: {type: x.u}}
        scopes: {g: {nodes: [p, c], compensate: reverse}}
        edges: [{from: p, to: c}]
        """
    )
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    run.fail("c")
    run.pause()
    lose(run, "u", old)
    assert not run.open
    restored(run)
    run.cancel()
    assert list(run.open) == ["p"] and run.ended == ""
    run.complete("p", new)
    assert run.input("u") == new
    run.complete("u")
    assert run.ended == "cancelled"


def test_a_run_that_is_killed_while_it_undoes_calls_everybody_back() -> None:
    run = Driver("nodes: {p: {type: x.p, compensate: u}, c: {type: x.c}, u: {type: x.u}}\nedges: [{from: p, to: c}]")
    old = a_ref(run, "p")
    run.complete("p", old)
    run.cancel()
    lose(run, "u", old)
    run.cancel(kill=True)
    assert run.ended == "killed" and not run.open


# --- outputs


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ("", lambda new: {"whole": new, "row": new.at((3, "id"))}),
        ('outputs: {row: "${q.row}", first: "${p[0]}"}', lambda new: {"row": new.at((3, "id")), "first": new.at((0,))}),
    ],
)
def test_the_output_of_a_run_names_what_was_made_again(outputs: str, expected: Any) -> None:
    run = Driver(
        f"nodes: {{p: {{type: x.p}}, c: {{type: x.c}}, q: {{type: x.q}}}}\nedges: [{{from: p, to: c}}, {{from: c, to: q}}]\n{outputs}"
    )
    old, new = a_ref(run, "p", items=9), a_ref(run, "p", items=9)
    run.complete("p", old)
    lose(run, "c", old)
    run.complete("p", new)
    run.complete("c")
    run.complete("q", {"whole": old, "row": old.at((3, "id"))})  # its worker had seen the refs of old
    assert run.value == expected(new)


# --- children


PARENT = "nodes: {p: {type: x.p}, s: {type: std::subflow, config: {flow: other}, timeout_ms: 9000}}\nedges: [{from: p, to: s}]"


@pytest.mark.parametrize("own", ["r1.s", "r1.s.deeper[2].4"])
def test_a_child_that_lost_work_of_its_own_beside_its_parents_is_started_anew(own: str) -> None:
    run = Driver(PARENT)
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    child_lost(run, "s", (own, ""), ("r1", "p"))
    restored(run)
    run.complete("p", new)
    assert [payloads.decode(effect.input) for effect in run.all(StartChild)] == [old, new]
    run.child_ended("s", 1)
    assert run.value == 1


def test_a_child_that_lost_only_work_of_its_own_has_failed() -> None:
    run = Driver(PARENT)
    run.complete("p", a_ref(run, "p"))
    child_lost(run, "s", ("r1.s", ""))
    assert (run.ended, run.error.type) == ("failed", "payload_lost") and "by run r1.s" in run.error.message


def test_a_child_that_lost_the_work_of_another_child_has_failed() -> None:
    run = Driver(PARENT)
    run.complete("p", a_ref(run, "p"))
    child_lost(run, "s", ("r1.s2", ""), ("r1", "p"))
    assert (run.ended, run.error.type) == ("failed", "payload_lost") and "by run r1.s2" in run.error.message


def test_what_a_child_hands_back_of_its_parents_work_is_made_again_by_the_parent() -> None:
    run = Driver(PARENT.replace("timeout_ms: 9000}", "timeout_ms: 9000}, c: {type: x.c}").replace("to: s}", "to: s}, {from: s, to: c}"))
    old, new = a_ref(run, "p"), a_ref(run, "p")
    run.complete("p", old)
    run.child_ended("s", {"seen": old})
    lose(run, "c", old)
    run.complete("p", new)
    assert run.input("c") == {"seen": new}

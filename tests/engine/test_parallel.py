"""Parallel scopes: how many branches must end well, and what becomes of the others."""

from __future__ import annotations

import pytest

from .driving import Driver


def race(completion: str, more: str = "") -> str:
    rescue = ", rescue: {type: x.r}" if "rescue" in more else ""
    return f"""
        nodes: {{a: {{type: x.a}}, b: {{type: x.b}}, b2: {{type: x.b2}}, c: {{type: x.c}}, after: {{type: x.after}}{rescue}}}
        scopes: {{p: {{type: parallel, nodes: [a, b, b2, c], completion: {completion}{more}}}}}
        edges: [{{from: b, to: b2}}, {{from: p, to: after}}]
        """


def test_all_waits_for_every_branch_and_hands_on_their_values_in_declared_order() -> None:
    run = Driver(race("all"))
    for name in ("c", "b", "a", "b2"):
        run.complete(name, name)
    assert run.input("after") == {"a": "a", "b2": "b2", "c": "c"}


def test_any_goes_on_with_the_first_branch_and_cancels_the_others() -> None:
    run = Driver(race("any"))
    run.complete("c", "c")
    assert run.input("after") == {"c": "c"}
    assert run.statuses("a", "b", "b2") == ["cancelled", "cancelled", "skipped"]


def test_at_least_two_goes_on_with_two() -> None:
    run = Driver(race("{at_least: 2}"))
    run.complete("c", "c")
    assert "after" not in run.open
    run.complete("a", "a")
    assert run.input("after") == {"a": "a", "c": "c"}


@pytest.mark.parametrize(("completion", "enough"), [("any", ["c"]), ("{at_least: 2}", ["a", "c"])])
def test_a_branch_that_fails_is_no_matter_while_the_others_can_do(completion: str, enough: list[str]) -> None:
    run = Driver(race(completion))
    run.fail("b", type="broken")
    for name in enough:
        run.complete(name, name)
    assert run.input("after") == {name: name for name in enough}
    run.work()
    assert run.ended == "completed" and run.status("b") == "failed" and run.status("b2") == "skipped"


@pytest.mark.parametrize(("completion", "failing"), [("any", ["a", "b", "c"]), ("{at_least: 2}", ["b", "c"])])
def test_with_too_few_branches_left_the_scope_fails_with_the_last_error(completion: str, failing: list[str]) -> None:
    run = Driver(race(completion))
    for name in {"a", "b", "c"} - set(failing):
        run.complete(name, name)
    for name in failing:
        run.fail(name, type=f"{name}_broke")
    assert (run.ended, run.error.type) == ("failed", f"{failing[-1]}_broke")


def test_too_few_branches_can_be_handled_like_any_other_error_of_the_scope() -> None:
    run = Driver(race("any", ", on_error: rescue"))
    for name in ("a", "b", "c"):
        run.fail(name)
    assert list(run.open) == ["rescue"]
    run.complete("rescue", "saved")
    assert run.ended == "completed" and run.status("after") == "skipped"


def test_a_scope_that_is_tried_again_has_forgotten_its_failed_branches() -> None:
    run = Driver(race("any", ", retry: {max_attempts: 2, jitter: false}"))
    for name in ("a", "b", "c"):
        run.fail(name)
    run.fire_next()
    assert sorted(run.open) == ["a", "b", "c"]
    run.complete("b")
    run.complete("b2", "late")
    assert run.input("after") == {"b2": "late"}


def test_a_try_scope_in_a_branch_that_gives_up_is_a_failed_branch() -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, after: {type: x.after}}
        scopes:
          t: {nodes: [a]}
          p: {type: parallel, nodes: [t, b], completion: any}
        edges: [{from: p, to: after}]
        """
    )
    run.fail("a")
    run.complete("b", "b")
    assert run.input("after") == {"b": "b"}
    run.work()
    assert run.ended == "completed"


@pytest.mark.parametrize("inner", ["", ", q: {type: parallel, nodes: [a, p]}"])
def test_a_scope_that_no_edge_leaves_is_no_end_of_the_run_its_branches_are(inner: str) -> None:
    run = Driver(
        f"""
        nodes: {{a: {{type: x.a}}, b: {{type: x.b}}, c: {{type: x.c}}, beside: {{type: x.d}}}}
        scopes: {{p: {{type: parallel, nodes: [b, c]}}{inner}}}
        edges: [{{from: c, to: beside}}]
        """
    )
    for name in ("a", "b", "c", "beside"):
        run.complete(name, name)
    assert run.value == {"a": "a", "b": "b", "beside": "beside"}

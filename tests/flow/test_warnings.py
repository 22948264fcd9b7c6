"""What is allowed and hardly ever meant: a warning, at its place, and silence where it may well be meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jetfleet.schemas.source.loader import Loaded

from .conftest import shown

Parse = Callable[..., Loaded]

FLOW = """\
name: f
triggers: {t: {type: manual}}
nodes:
  a: {type: std::log}
  pick: {type: std::switch, config: {expression: "CONDITION"}}
  b: {type: std::log}
edges:
- {from: t, to: a}
- {from: a, to: pick}
- {from: pick.true, to: b}
"""


@pytest.mark.parametrize("condition", ["${a.amount} > 3", "${trigger.payload.amount} > 3", "amount == ${a.amount}"])
def test_a_path_in_a_condition_that_looks_like_a_node_is_warned_of(parse: Parse, condition: str) -> None:
    loaded = parse(FLOW.replace("CONDITION", condition))
    assert [shown(problem) for problem in loaded.warnings] == [("INVALID_SELECTOR", 5, 50)]
    assert "of the value at hand" in loaded.warnings[0].message
    assert loaded.plan is not None


def test_an_edge_is_warned_of_like_a_switch(parse: Parse) -> None:
    text = FLOW.replace("CONDITION", "amount > 3").replace("{from: a, to: pick}", '{from: a, to: pick, condition: "${a.amount} > 3"}')
    assert [shown(problem) for problem in parse(text).warnings] == [("INVALID_SELECTOR", 9, 34)]


@pytest.mark.parametrize("condition", ["a.amount > 3", "${amount} > 3", "${order.amount} > 3"])
def test_a_path_that_looks_like_a_path_is_not(parse: Parse, condition: str) -> None:
    assert parse(FLOW.replace("CONDITION", condition)).problems == ()


def test_behind_a_join_a_node_is_a_key_of_the_value(parse: Parse) -> None:
    text = FLOW.replace("CONDITION", "${a.amount} > 3").replace("{from: t, to: a}", "{from: t, to: a}\n- {from: t, to: pick}")
    assert parse(text).problems == ()


@pytest.mark.parametrize("twin", ["{from: t, to: a}", "{from: t.out, to: a}", "{from: pick.true, to: b.in}"])
def test_an_edge_that_is_there_twice_is_warned_of(parse: Parse, twin: str) -> None:
    loaded = parse(FLOW.replace("CONDITION", "x > 3") + f"- {twin}\n")
    assert [(problem.code, problem.line) for problem in loaded.problems] == [("DUPLICATE_EDGE", 11)]


def test_edges_with_other_conditions_are_other_edges(parse: Parse) -> None:
    assert parse(FLOW.replace("CONDITION", "x > 3") + "- {from: t, to: a, condition: x > 4}\n").problems == ()


@pytest.mark.parametrize(("enabled", "codes"), [("true", ["UNUSED_TRIGGER"]), ("false", [])])
def test_a_trigger_that_leads_nowhere_is_warned_of_unless_it_is_disabled(parse: Parse, enabled: str, codes: list[str]) -> None:
    text = FLOW.replace("CONDITION", "x > 3").replace(
        "{t: {type: manual}}", f"{{t: {{type: manual}}, u: {{type: manual, enabled: {enabled}}}}}"
    )
    assert [problem.code for problem in parse(text).problems] == codes


def test_a_flow_without_nodes_is_warned_of_and_valid(parse: Parse) -> None:
    loaded = parse("name: f\n")
    assert [shown(problem) for problem in loaded.problems] == [("EMPTY_FLOW", 1, 1)]
    assert loaded.flow is not None


def test_edges_to_two_scopes_are_two_edges_and_two_to_one_are_twins(parse: Parse) -> None:
    text = """\
        name: f
        triggers: {t: {type: manual}}
        nodes: {a: {type: std::log}, b: {type: std::log}}
        scopes: {one: {nodes: [a]}, two: {nodes: [b]}}
        edges:
        - {from: t, to: one}
        - {from: t, to: two}
    """
    assert parse(text).problems == ()
    assert [problem.code for problem in parse(text + "    - {from: t.out, to: two}\n").problems] == ["DUPLICATE_EDGE"]


@pytest.mark.parametrize("params", ["path: ../in", "path: /in, on_success: move, processed: ../done", "path: [/in, /a/../b]"])
def test_a_path_that_is_refused_wherever_it_is_served_is_warned_of(parse: Parse, params: str) -> None:
    loaded = parse(FLOW.replace("{type: manual}", f"{{type: filesystem, params: {{{params}}}}}").replace("CONDITION", "a.amount > 3"))
    assert [shown(problem)[:2] for problem in loaded.warnings] == [("REFUSED_PATH", 2)]
    assert loaded.plan is not None


@pytest.mark.parametrize(
    ("schedule", "warned"), [("*/90 * * * *", 1), ("5 0 0-23/25 * * *", 1), ("*/60 */24 * * *", 0), ("1/90 * * * *", 0)]
)
def test_a_step_that_is_larger_than_its_field_is_warned_of(parse: Parse, schedule: str, warned: int) -> None:
    text = FLOW.replace("{type: manual}", f"{{type: cron, params: {{schedule: '{schedule}'}}}}")
    warnings = parse(text.replace("CONDITION", "a.amount > 3")).warnings
    assert [shown(problem)[:2] for problem in warnings] == [("STEP_TOO_LARGE", 2)] * warned


def test_a_path_that_some_process_may_be_allowed_is_not_warned_of(parse: Parse) -> None:
    text = FLOW.replace("{type: manual}", "{type: filesystem, params: {path: /etc/in, failed: bad..}}")
    assert parse(text.replace("CONDITION", "a.amount > 3")).problems == ()


def test_a_caller_who_waits_for_a_run_that_begins_with_others_is_warned_of(parse: Parse) -> None:
    head = "name: f\nnodes: {a: {type: std::log}}\nedges: [{from: t, to: a}]\n"
    triggers = "triggers:\n- {id: t, type: webhook, params: {host: 127.0.0.1, wait: true}}\n"
    loaded = parse(head + "settings: {debounce: {quiet: 5s}}\n" + triggers)
    assert [shown(problem) for problem in loaded.warnings] == [("INVALID_VALUE", 6, 58)]
    assert not parse(head + triggers).warnings and not loaded.errors

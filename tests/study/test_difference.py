"""Differences: two runs are alike, or the first record, the nodes and the places in values are named where they part."""

from __future__ import annotations

from jetfleet.broker.study.difference import NOTHING, Unlike, difference, unlike

from ..engine.driving import Driver
from .played import SPLIT, order, studied


def test_runs_that_did_the_same_are_alike_though_their_times_are_not() -> None:
    found = difference(studied(order(3)), studied(order(3)))
    assert found.alike and found.first_record is None


def test_values_differ_by_path() -> None:
    a = {"order": {"items": [{"n": 1}, {"n": 2}], "to": "x"}}
    b = {"order": {"items": [{"n": 1}, {"n": 3}, 4], "by": "y"}}
    assert list(unlike(a, b)) == [
        Unlike("order.items[1].n", 2, 3),
        Unlike("order.items[2]", NOTHING, 4),
        Unlike("order.to", "x", NOTHING),
        Unlike("order.by", NOTHING, "y"),
    ]
    assert list(unlike(1, True)) == [Unlike("$", 1, True)], "they only count as equal in Python"
    assert list(unlike([1, {"a": None}], [1, {"a": None}])) == []


def test_runs_that_parted_at_a_switch_say_where_and_by_which_input() -> None:
    found = difference(studied(order(3)), studied(order(30)))
    assert found.input == (Unlike("n", 3, 30),)
    assert found.about == {"status": ("completed", "failed"), "error": (None, "too_big: no more")}
    assert found.first_record == 0
    nodes = {node.node: node for node in found.nodes}
    assert nodes["big"].port == ("false", "true") and nodes["big"].status is None
    assert nodes["check"].status == ("completed", "skipped")
    assert "report" not in nodes


def test_attempts_and_the_time_that_they_took_are_told() -> None:
    found = difference(studied(order(3)), studied(order(3, fails=2)))
    (node,) = found.nodes
    assert (node.node, node.attempts) == ("check", (1, 3))
    assert node.duration_ms is not None and node.duration_ms[0] == 0
    assert found.first_record == 1, "the first attempt failed in one of them"


def test_items_that_only_one_of_them_had_are_told() -> None:
    runs = [Driver(SPLIT, {"rows": list(range(count))}, trigger="api").work() for count in (2, 3)]
    found = difference(*map(studied, runs))
    assert [node.node for node in found.nodes if node.status == (NOTHING, "completed")] == ["work[2]"]

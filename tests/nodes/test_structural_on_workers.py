"""Structural nodes on a worker: what the engine would have decided, had the values been at hand."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.engine import nodes
from jetfleet.schemas.payload import decode
from tests.engine.driving import Driver

from .bench import Bench

CONDITIONS: list[Any] = [
    {"condition": "amount > 10"},
    {"condition": "${amount} > ${limit}"},
    {"condition": "always"},
    {"condition": {"type": "equals", "field": "$.name", "value": "${pipeline.config.greeting}"}},
    {"condition": {"type": "less_than", "field": "amount", "value": "${pipeline.config.limit}"}},
    {"condition": {"type": "matches", "field": "name", "pattern": "^h"}},
    {"condition": {"type": "not_equals", "field": "name", "value": "$${name}"}},
    {"expression": "urgent"},
]
VALUES: list[Any] = [None, {}, {"amount": 11, "limit": 12}, {"amount": 9, "name": "hi", "urgent": True}, {"name": "${name}"}, [1], "hi"]


@pytest.mark.parametrize("config", CONDITIONS, ids=str)
def test_a_worker_decides_a_switch_as_the_engine_does(bench: Bench, config: Any) -> None:
    flow = {"nodes": {"s": {"type": "std::switch", "config": config}}, "config": {"limit": 100, "greeting": "hi"}}
    for value in VALUES:
        engine = nodes(Driver(flow, value).run)["s"]
        completion = bench.execute("std::switch", value, config)
        assert completion.error is None and completion.port == engine.port, value


def test_a_switch_on_a_worker_compares_with_another_nodes_value(bench: Bench) -> None:
    config = {"condition": {"type": "equals", "field": "n", "value": "${other.n}"}}
    assert bench.execute("std::switch", {"n": 5}, config, {"other": {"n": 5}}).port == "true"
    assert bench.execute("std::switch", {"n": 5}, config, {"other": {"n": 6}}).port == "false"


MERGED: list[list[Any]] = [
    [{"a": {"x": 1}}, {"a": {"y": 2}, "b": 3}],
    [{"a": {"x": 1}}, {"a": 2}],
    [1, {"a": 2}],
    [{"a": 1}, None],
]


@pytest.mark.parametrize("values", MERGED, ids=str)
def test_a_worker_merges_as_the_engine_does(bench: Bench, values: list[Any]) -> None:
    run = Driver(
        """
        nodes: {a: {type: x.a}, b: {type: x.b}, m: {type: std::merge, config: {output: deep_merge}}}
        edges: [{from: a, to: m}, {from: b, to: m}]
        """
    )
    run.complete("a", values[0])
    run.complete("b", values[1])
    assert decode(bench.execute("std::merge", values, {"output": "deep_merge"}).output) == run.value

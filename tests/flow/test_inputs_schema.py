"""A flow's `inputs`: a JSON Schema that is checked with the flow, and never fails on an event with anything but a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jetfleet.schemas.errors import EventRejected, InvalidFlow
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.events import check_event
from jetfleet.schemas.source.loader import Loaded

Parse = Callable[..., Loaded]

NODES = "nodes: {a: {type: std::log}}\n"


@pytest.mark.parametrize(
    ("inputs", "column"),
    [
        ("{type: objekt}", 16),
        ("{properties: {a: {type: strin}}}", 33),
        ("{required: order_id}", 20),
        ("{minimum: x}", 19),
        ("{pattern: '('}", 19),
        ("{$ref: '#/nothing/here'}", 1),
        ("{$schema: 'https://example.org/unknown'}", 1),
    ],
)
def test_what_is_no_schema_is_refused_where_it_is_written(parse: Parse, inputs: str, column: int) -> None:
    loaded = parse(f"name: f\ninputs: {inputs}\n" + NODES)
    assert [(problem.code, problem.line, problem.column) for problem in loaded.errors] == [("INVALID_VALUE", 2, column)]


def test_a_schema_reads_nothing_from_outside(parse: Parse) -> None:
    loaded = parse("name: f\ninputs: {$ref: 'https://example.org/order.json'}\n" + NODES)
    assert [problem.code for problem in loaded.errors] == ["INVALID_VALUE"]
    assert "reads nothing from outside" in loaded.errors[0].message


def test_a_schema_may_refer_to_itself(parse: Parse) -> None:
    loaded = parse("name: f\ninputs: {$ref: '#/$defs/order', $defs: {order: {type: object}}}\n" + NODES)
    assert loaded.problems == ()


def test_a_flow_that_came_from_no_file_is_checked_too() -> None:
    with pytest.raises(InvalidFlow, match="no JSON Schema"):
        compile_flow(Flow(name="f", inputs={"type": "objekt"}))


@pytest.mark.parametrize("event", [{1: 2}, {"a": b"bytes"}, {"a": "\ud800"}, object(), float("nan")])
def test_an_event_that_is_no_json_is_rejected(event: Any) -> None:
    plan = compile_flow(Flow(name="f", inputs={"type": "object", "required": ["b"]}))
    with pytest.raises(EventRejected):
        check_event(plan, event)


def test_a_wrong_schema_does_not_hide_what_is_wrong_with_the_graph(parse: Parse) -> None:
    text = "name: f\ninputs: {type: objekt}\nnodes: {a: {type: std::log}}\nscopes: {s: {nodes: [a, b]}}\n"
    assert [problem.code for problem in parse(text).errors] == ["INVALID_VALUE", "INVALID_REFERENCE"]

"""The editor's JSON Schema: up to date, never stricter than the validator, and strict about what editors can show."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from jetfleet.schemas.flow.node_types import NODE_TYPES
from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES
from jetfleet.schemas.source.document import read
from jetfleet.schemas.source.json_schema import STORED, flow_schema, schema_text


@pytest.fixture(scope="module")
def schema() -> Any:
    return jsonschema_rs.validator_for(flow_schema())


def node(type: str, config: Any) -> dict[str, Any]:
    return {"name": "f", "nodes": {"a": {"type": type, "config": config}}}


def trigger(type: str, params: Any) -> dict[str, Any]:
    return {"name": "f", "triggers": [{"id": "t", "type": type, "params": params}]}


def test_the_stored_schema_is_up_to_date() -> None:
    assert STORED.read_text("utf-8") == schema_text(), "write it anew: jetfleet schema > schemas/flow.schema.json"


def test_it_is_a_valid_schema_of_draft_2020_12() -> None:
    assert flow_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(flow_schema())


def test_a_flow_that_uses_most_of_the_language_is_accepted(schema: Any, orders: str) -> None:
    schema.validate(read(orders.encode()).value)


@pytest.mark.parametrize("name", NODE_TYPES)
def test_every_node_types_example_is_accepted_and_a_surprise_in_it_is_not(schema: Any, name: str) -> None:
    example = dict(NODE_TYPES[name].example)
    assert schema.is_valid(node(name, example))
    assert not schema.is_valid(node(name, {**example, "surprise": 1}))


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("std::merge", {"strategy": "wait_n", "wait_count": 2}),
        ("std::merge", None),
        ("std::switch", {"expression": "${a} > 1"}),
        ("std::loop", {"until_true": {"field": "done"}}),
        ("std::wait", {"hook_id": "h", "resume_method": {"type": "api_approval", "token_field": "t"}, "timeout_action": "approved"}),
        ("std::http.request", {"url": "https://h/", "method": "post", "expect": 404}),
        ("std::aggregate", {"operation": "avg", "fields": ["a"], "output_field": "x"}),
        ("std::concat", {"parts": ["a", {"type": "field", "path": "b"}], "output_field": "x"}),
        ("std::delay", {"duration_ms": "${plan.wait_ms}"}),
        ("shop.charge", {"anything": [1, 2]}),
    ],
)
def test_every_spelling_of_a_config_is_accepted(schema: Any, type: str, config: Any) -> None:
    schema.validate(node(type, config))


@pytest.mark.parametrize(
    ("type", "params"),
    [
        ("webhook", {"method": "GET"}),
        ("trigger::webhook", {"methods": ["GET"], "port": 80}),
        ("cron", {"schedule": "* * * * *", "catchUp": True}),
        ("filesystem", {"path": "/data", "events": ["created"]}),
        ("queue", {"buffer_size": 3}),
        ("kafka", {"brokers": "a:1,b:2", "group_id": "g", "topic": "t"}),
        ("manual", None),
    ],
)
def test_every_spelling_of_params_is_accepted(schema: Any, type: str, params: Any) -> None:
    schema.validate(trigger(type, params))


@pytest.mark.parametrize("name", TRIGGER_TYPES)
def test_triggers_are_accepted_as_a_mapping_and_checked_there_too(schema: Any, name: str) -> None:
    assert not schema.is_valid({"name": "f", "triggers": {"t": {"type": name, "params": {"surprise": 1}}}})
    assert schema.is_valid({"name": "f", "triggers": {"t": {"type": "manual"}}})


@pytest.mark.parametrize(
    "flow",
    [
        {},
        {"name": "f", "nodez": {}},
        {"name": "f", "version": 1.0},
        {"name": "1f"},
        node("std::nope", {}),
        {"name": "f", "nodes": {"a": {"type": "std::http"}}},
        node("std::switch", {}),
        node("std::http", {"url": 3}),
        trigger("webhok", {}),
        trigger("webhook", {"port": 0}),
        trigger("kafka", {"brokers": "a:1", "group_id": "g"}),
        trigger("filesystem", {}),
        {"name": "f", "triggers": [{"type": "manual"}]},
        {"name": "f", "edges": [{"from": "a"}]},
        {"name": "f", "scopes": {"s": {"nodes": []}}},
    ],
)
def test_what_the_validator_refuses_by_shape_is_refused(schema: Any, flow: dict[str, Any]) -> None:
    assert not schema.is_valid(flow)

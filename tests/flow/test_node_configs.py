"""Configs: every spelling in circulation means one thing, and what means nothing is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jetfleet.schemas.flow.node_types import NODE_TYPES, Kind, NodeType, node_type, parse_config, suggest
from jetfleet.schemas.source.findings import problems_of


def config(type: str, raw: Any) -> Any:
    """The config in the form that workers and engine see."""
    entry = node_type(type)
    assert entry is not None
    parsed = parse_config(entry, raw)
    assert parsed is not None
    return parsed.model_dump(by_alias=True)


def refusal(type: str, raw: Any) -> tuple[str, tuple[str | int, ...]]:
    entry = node_type(type)
    assert entry is not None and entry.config is not None
    with pytest.raises(ValidationError) as caught:
        parse_config(entry, raw)
    problem = problems_of(caught.value, entry.config, raw)[0]
    return problem.code, problem.path


@pytest.mark.parametrize("name", NODE_TYPES)
def test_every_type_has_an_example_that_is_valid(name: str) -> None:
    assert parse_config(NODE_TYPES[name], dict(NODE_TYPES[name].example)) is not None


@pytest.mark.parametrize("name", NODE_TYPES)
def test_every_config_refuses_unknown_keys(name: str) -> None:
    assert refusal(name, {**NODE_TYPES[name].example, "surprise": 1})[0] == "UNKNOWN_KEY"


@pytest.mark.parametrize(
    ("type", "spelling", "meaning"),
    [
        ("std::merge", {"strategy": "wait_all"}, {"strategy": "all"}),
        ("std::merge", {"strategy": "first_arrival"}, {"strategy": "any"}),
        ("std::merge", {"strategy": "first"}, {"strategy": "any"}),
        ("std::merge", {"strategy": "wait_n", "wait_count": 2}, {"strategy": "count", "count": 2}),
        ("std::merge", None, {}),
        ("std::split", {"field": "a", "mode": "parallel"}, {"field": "a", "mode": "parallel", "max_parallel": 16}),
        ("std::loop", {"until_true": {"field": "done"}}, {"until_true": "done"}),
        ("std::loop", {"until_false": "${more}"}, {"until_false": "more"}),
        ("std::wait", {"hook_id": "h", "timeout_action": "escalated"}, {"hook_id": "h", "timeout_action": "escalate"}),
        (
            "std::wait",
            {"hook_id": "h", "resume_method": {"type": "api_approval", "token_field": "token"}},
            {"hook_id": "h", "resume_method": "api_approval", "token_field": "token"},
        ),
        ("std::http", {"url": "https://h/", "method": "post", "expect": 404}, {"url": "https://h/", "method": "POST", "expect": [404]}),
        ("std::log", {"message": "m", "level": "warning"}, {"message": "m", "level": "warn"}),
        (
            "std::aggregate",
            {"operation": "avg", "fields": ["a", "b"], "output_field": "x"},
            {"operation": "average", "source": {"type": "fields", "fields": ["a", "b"]}, "output_field": "x"},
        ),
        (
            "std::aggregate",
            {"operation": "sum", "source": {"array_path": "a"}, "output_field": "x"},
            {"operation": "sum", "source": {"type": "array", "array_path": "a"}, "output_field": "x"},
        ),
        (
            "std::concat",
            {"parts": ["Hello ", "$.user.name"], "output_field": "x"},
            {"parts": [{"type": "literal", "value": "Hello "}, {"type": "field", "path": "$.user.name"}], "output_field": "x"},
        ),
    ],
)
def test_spellings_have_one_meaning(type: str, spelling: Any, meaning: Any) -> None:
    assert config(type, spelling) == config(type, meaning)


@pytest.mark.parametrize(
    ("type", "raw", "code", "path"),
    [
        ("std::switch", {}, "MISSING_FIELD", ("condition",)),
        ("std::switch", {"condition": "${a} > 1", "expression": "${a} > 1"}, "INVALID_VALUE", ("expression",)),
        ("std::switch", {"expression": "${a} ~ 1"}, "INVALID_CONDITION", ("expression",)),
        ("std::switch", {"condition": {"type": "nearly"}}, "INVALID_CONDITION", ("condition",)),
        ("std::switch", {"condition": {"type": "matches", "field": "a", "pattern": "("}}, "INVALID_CONDITION", ("condition",)),
        ("std::merge", {"strategy": "count"}, "MISSING_FIELD", ("count",)),
        ("std::merge", {"count": 2}, "INVALID_VALUE", ("count",)),
        ("std::merge", {"strategy": "most"}, "INVALID_VALUE", ("strategy",)),
        ("std::merge", {"strategy": "count", "count": 2, "wait_count": 3}, "INVALID_VALUE", ("wait_count",)),
        ("std::merge", {"strategy": "wait_n", "wait_count": 0}, "INVALID_VALUE", ("wait_count",)),
        ("std::split", {}, "MISSING_FIELD", ("field",)),
        ("std::split", {"field": "a", "mode": "batched"}, "MISSING_FIELD", ("batch_size",)),
        ("std::split", {"field": "a", "batch_size": 3}, "INVALID_VALUE", ("batch_size",)),
        ("std::split", {"field": "a", "max_parallel": 3}, "INVALID_VALUE", ("max_parallel",)),
        ("std::split", {"field": "${fetch.items}"}, "INVALID_SELECTOR", ("field",)),
        ("std::loop", {}, "MISSING_FIELD", ("max_iterations",)),
        ("std::loop", {"max_iterations": 0}, "INVALID_VALUE", ("max_iterations",)),
        ("std::wait", {}, "MISSING_FIELD", ("hook_id",)),
        ("std::wait", {"hook_id": "a", "signal": "b"}, "INVALID_VALUE", ("signal",)),
        ("std::wait", {"signal": "a", "correlate": {"id": 1}}, "INVALID_VALUE", ("correlate",)),
        ("std::wait", {"resume_method": "timeout"}, "MISSING_FIELD", ("timeout_secs",)),
        ("std::wait", {"hook_id": "a", "timeout_secs": 1, "timeout_ms": 1}, "INVALID_VALUE", ("timeout_ms",)),
        (
            "std::wait",
            {"hook_id": "a", "resume_method": {"type": "webhook", "tokenfield": "t"}},
            "UNKNOWN_KEY",
            ("resume_method", "tokenfield"),
        ),
        ("std::delay", {"duration_ms": "5s"}, "INVALID_TYPE", ("duration_ms",)),
        ("std::delay", {"duration_ms": -1}, "INVALID_VALUE", ("duration_ms",)),
        ("std::delay", {"duration_ms": [1]}, "INVALID_TYPE", ("duration_ms",)),
        ("std::http", {"url": "example.org"}, "INVALID_VALUE", ("url",)),
        ("std::map", None, "MISSING_FIELD", ("mappings",)),
        ("std::map", {"mappings": [{"from": "a"}]}, "MISSING_FIELD", ("mappings", 0, "to")),
        ("std::concat", {"parts": [{"type": "field"}], "output_field": "x"}, "MISSING_FIELD", ("parts", 0, "path")),
        ("std::concat", {"parts": [{"type": "text"}], "output_field": "x"}, "INVALID_VALUE", ("parts", 0, "type")),
        ("std::concat", {"parts": [3], "output_field": "x"}, "INVALID_TYPE", ("parts", 0)),
        ("std::aggregate", {"source": {"array_path": "a"}, "output_field": "x"}, "MISSING_FIELD", ("operation",)),
        ("std::aggregate", {"operation": "sum", "output_field": "x"}, "MISSING_FIELD", ("source",)),
        (
            "std::aggregate",
            {"operation": "sum", "source": {"array_path": "a"}, "fields": ["b"], "output_field": "x"},
            "INVALID_VALUE",
            ("fields",),
        ),
        ("std::json_dynamic", {"operation": "extract"}, "MISSING_FIELD", ("fields",)),
        ("std::json_dynamic", {"operation": "set", "value": 1}, "MISSING_FIELD", ("path",)),
        ("std::raise", {"message": "m"}, "MISSING_FIELD", ("type",)),
        ("std::subflow", {"flow": "no such name"}, "INVALID_VALUE", ("flow",)),
        ("std::set", {}, "MISSING_FIELD", ("values",)),
    ],
)
def test_what_means_nothing_is_refused(type: str, raw: Any, code: str, path: tuple[str | int, ...]) -> None:
    assert refusal(type, raw) == (code, path)


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "always"},
        {"type": "greater_than", "field": "amount", "value": 100},
        {"type": "field_greater_than", "field": "amount", "threshold": 100},
        {"type": "less_than", "field": "amount", "value": "${pipeline.config.limit}"},
        {"type": "field_less_than", "field": "amount", "threshold": 1.5},
        {"type": "equals", "field": "status", "value": "active"},
        {"type": "field_equals", "field": "status", "value": None},
        {"type": "matches", "field": "mail", "pattern": "^[^@]+@[^@]+$"},
        {"type": "field_matches", "field": "mail", "pattern": "@"},
        {"type": "expression", "expression": "${score} > 0.5"},
        "${score} > 0.5",
    ],
)
def test_a_switch_takes_every_form_of_a_condition(condition: Any) -> None:
    assert config("std::switch", {"condition": condition})["condition"] == condition


def test_timeouts_in_seconds_and_in_milliseconds_mean_the_same() -> None:
    entry = NODE_TYPES["std::wait"]
    seconds: Any = parse_config(entry, {"hook_id": "h", "timeout_secs": 2})
    milliseconds: Any = parse_config(entry, {"hook_id": "h", "timeout_ms": 2000})
    assert seconds.due_after_ms == milliseconds.due_after_ms == 2000


def test_texts_of_data_nodes_may_hold_selectors() -> None:
    assert config("std::http", {"url": "${pipeline.config.url}/x", "headers": {"X-Id": "${run.id}"}})["url"] == "${pipeline.config.url}/x"
    assert config("std::delay", {"duration_ms": "${plan.wait_ms}"}) == {"duration_ms": "${plan.wait_ms}"}


def test_ports_go_by_all_their_names() -> None:
    assert NODE_TYPES["std::split"].port("out") == "item"
    assert NODE_TYPES["std::loop"].port("body") == "continue"
    assert NODE_TYPES["std::loop"].port("done") == "exit"
    assert NODE_TYPES["std::switch"].port("true") == "true"
    assert NODE_TYPES["std::switch"].port("out") is None
    assert all(entry.port("error") == "error" for entry in NODE_TYPES.values())


def test_only_a_merge_has_numbered_inputs() -> None:
    merge, log = NODE_TYPES["std::merge"], NODE_TYPES["std::log"]
    assert merge.accepts("in") and merge.accepts("in_0") and merge.accepts("in_12")
    assert not merge.accepts("in_") and not merge.accepts("in_01") and not log.accepts("in_0")


def test_types_are_found_by_name_and_alias() -> None:
    assert node_type("std::http.request") is NODE_TYPES["std::http"]
    assert node_type("shop.charge") is None
    assert suggest("std::aggregte") == "std::aggregate"
    assert suggest("shop.chrage", frozenset({"shop.charge"})) == "shop.charge"
    assert suggest("nothing_like_it") is None


def test_an_own_type_without_a_model_takes_any_config() -> None:
    own = NodeType("shop.charge")
    assert own.kind is Kind.TASK
    assert parse_config(own, {"anything": [1]}) is None

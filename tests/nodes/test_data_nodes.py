"""The standard data nodes, each as part of a flow."""

from __future__ import annotations

from typing import Any

import pytest

from .bench import Bench

PEOPLE = {"first": "John", "last": "Doe", "user": {"name": "Alice", "email": "a@x.org", "address": {"city": "Bern"}}, "none": None}


def mappings(*pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"mappings": [{"from": source, "to": target} for source, target in pairs], **more}


# --- std::map


def test_map_renames(bench: Bench) -> None:
    assert bench.output("std::map", PEOPLE, mappings(("first", "name"))) == {"name": "John"}


def test_map_reads_and_writes_nested_places(bench: Bench) -> None:
    assert bench.output("std::map", PEOPLE, mappings(("user.name", "a.b"), ("last", "a.c"))) == {"a": {"b": "Alice", "c": "Doe"}}


def test_map_leaves_out_what_is_missing_and_keeps_what_is_null(bench: Bench) -> None:
    assert bench.output("std::map", PEOPLE, mappings(("nope", "a"), ("none", "b"))) == {"b": None}


def test_map_uses_the_default_of_a_missing_field(bench: Bench) -> None:
    config = {"mappings": [{"from": "nope", "to": "a", "default": 7}, {"from": "first", "to": "b", "default": 8}]}
    assert bench.output("std::map", PEOPLE, config) == {"a": 7, "b": "John"}


def test_map_passes_the_rest_through_under_the_old_names_too(bench: Bench) -> None:
    assert bench.output("std::map", {"a": 1, "b": 2}, mappings(("a", "c"), passthrough=True)) == {"a": 1, "b": 2, "c": 1}


def test_a_later_mapping_overrides_an_earlier_one_and_replaces_scalars_on_its_way(bench: Bench) -> None:
    assert bench.output("std::map", {"a": 1, "b": 2}, mappings(("a", "x"), ("b", "x"))) == {"x": 2}
    assert bench.output("std::map", {"a": 1, "b": 2}, mappings(("a", "x"), ("b", "x.y"))) == {"x": {"y": 2}}


def test_map_does_not_change_one_field_by_writing_into_its_copy(bench: Bench) -> None:
    value = {"user": {"name": "A"}, "n": 1}
    expected = {"user": {"name": "A"}, "n": 1, "copy": {"name": 1}}
    assert bench.output("std::map", value, mappings(("user", "copy"), ("n", "copy.name"), passthrough=True)) == expected


def test_map_of_null_is_empty(bench: Bench) -> None:
    assert bench.output("std::map", None, mappings(("a", "b"), passthrough=True)) == {}


# --- std::concat


def fields(*paths: str) -> list[dict[str, str]]:
    return [{"type": "field", "path": path} for path in paths]


def test_concat_joins_literals(bench: Bench) -> None:
    assert bench.output("std::concat", {}, {"parts": ["Hello", "World"], "separator": " ", "output_field": "text"}) == {
        "text": "Hello World"
    }


def test_concat_joins_fields(bench: Bench) -> None:
    assert bench.output("std::concat", PEOPLE, {"parts": fields("first", "last"), "separator": " ", "output_field": "t"}) == {
        "t": "John Doe"
    }


def test_concat_mixes_literals_and_fields(bench: Bench) -> None:
    parts = [{"type": "literal", "value": "Hello, "}, "$.user.name", "!"]
    assert bench.output("std::concat", PEOPLE, {"parts": parts, "output_field": "a.b"}) == {"a": {"b": "Hello, Alice!"}}


def test_concat_leaves_out_missing_and_null_fields_with_their_separator(bench: Bench) -> None:
    config = {"parts": ["X", *fields("nope", "none"), "Z"], "separator": "-", "output_field": "t"}
    assert bench.output("std::concat", PEOPLE, config) == {"t": "X-Z"}


def test_concat_needs_no_separator(bench: Bench) -> None:
    assert bench.output("std::concat", {}, {"parts": ["foo", "bar"], "output_field": "t"}) == {"t": "foobar"}


def test_concat_spells_numbers_and_maps(bench: Bench) -> None:
    config = {"parts": fields("n", "m"), "separator": " ", "output_field": "t"}
    assert bench.output("std::concat", {"n": 1.5, "m": {"a": True}}, config) == {"t": '1.5 {"a":true}'}


# --- std::aggregate


def array(operation: str, value_field: str | None = None) -> dict[str, Any]:
    source = {"type": "array", "array_path": "n"} | ({"value_field": value_field} if value_field else {})
    return {"operation": operation, "source": source, "output_field": "r"}


@pytest.mark.parametrize(
    ("operation", "numbers", "result"),
    [
        ("sum", [1, 2, 3, 4, 5], 15.0),
        ("avg", [10, 20, 30], 20.0),
        ("average", [10, 20, 30], 20.0),
        ("min", [3, 1, 2], 1.0),
        ("max", [3, 9, 2], 9.0),
        ("count", [1, 1, 1, 1, 1, 1], 6.0),
        ("product", [2, 3, 4], 24.0),
        ("sum", [0.1] * 10, 1.0),
        ("sum", [], 0.0),
        ("average", [], 0.0),
        ("count", [], 0.0),
        ("product", [], 0.0),
        ("min", [], None),
        ("max", [], None),
    ],
)
def test_aggregate_reduces_an_array(bench: Bench, operation: str, numbers: list[float], result: float | None) -> None:
    found = bench.output("std::aggregate", {"n": numbers}, array(operation))["r"]
    assert found == result
    assert type(found) is type(result)


def test_aggregate_passes_over_what_is_no_number(bench: Bench) -> None:
    assert bench.output("std::aggregate", {"n": [1, "2", None, True, {}, 4]}, array("sum")) == {"r": 5.0}
    assert bench.output("std::aggregate", {"n": [1, "2", None, True, {}, 4]}, array("count")) == {"r": 2.0}


def test_aggregate_reads_a_field_of_each_item_also_as_text(bench: Bench) -> None:
    items = [{"price": 10}, {"price": "20"}, {"price": 30}, {"other": 5}, {"price": "x"}]
    assert bench.output("std::aggregate", {"n": items}, array("sum", "price")) == {"r": 60.0}


def test_aggregate_reads_named_fields(bench: Bench) -> None:
    config = {"operation": "sum", "source": {"type": "fields", "fields": ["a", "b.c", "d", "nope"]}, "output_field": "x.total"}
    assert bench.output("std::aggregate", {"a": 10, "b": {"c": 20}, "d": "30"}, config) == {"x": {"total": 60.0}}


@pytest.mark.parametrize("value", [None, {}, {"n": "text"}, {"n": {"a": 1}}])
def test_aggregate_of_nothing_is_zero(bench: Bench, value: Any) -> None:
    assert bench.output("std::aggregate", value, array("sum")) == {"r": 0.0}


# --- std::json_dynamic


def test_json_dynamic_extracts_fields_by_their_last_word(bench: Bench) -> None:
    config = {"operation": "extract", "fields": ["user.name", "user.email", "nope"]}
    assert bench.output("std::json_dynamic", PEOPLE, config) == {"name": "Alice", "email": "a@x.org"}


def test_of_two_fields_with_one_last_word_the_later_stays(bench: Bench) -> None:
    assert bench.output("std::json_dynamic", {"a": {"x": 1}, "b": {"x": 2}}, {"operation": "extract", "fields": ["a.x", "b.x"]}) == {"x": 2}


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [("b", {"a": 1}, {"a": 1, "b": 5}), ("a.b.c", {}, {"a": {"b": {"c": 5}}}), ("a", None, {"a": 5})],
)
def test_json_dynamic_sets(bench: Bench, path: str, value: Any, result: Any) -> None:
    assert bench.output("std::json_dynamic", value, {"operation": "set", "path": path, "value": 5}) == result


@pytest.mark.parametrize(
    ("path", "result"),
    [("a", {"c": {"d": 2, "e": 3}}), ("c.d", {"a": 1, "c": {"e": 3}}), ("nope.x", {"a": 1, "c": {"d": 2, "e": 3}})],
)
def test_json_dynamic_deletes(bench: Bench, path: str, result: Any) -> None:
    assert bench.output("std::json_dynamic", {"a": 1, "c": {"d": 2, "e": 3}}, {"operation": "delete", "path": path}) == result


def test_json_dynamic_flattens_maps_and_lists_and_drops_empty_ones(bench: Bench) -> None:
    value = {"user": {"address": {"city": "Bern"}, "tags": ["x", {"y": 1}]}, "empty": {}, "none": []}
    expected = {"user_address_city": "Bern", "user_tags_0": "x", "user_tags_1_y": 1}
    assert bench.output("std::json_dynamic", value, {"operation": "flatten"}) == expected
    assert bench.output("std::json_dynamic", {"a": {"b": 1}}, {"operation": "flatten", "separator": "."}) == {"a.b": 1}


def test_json_dynamic_merges_maps_later_ones_winning(bench: Bench) -> None:
    assert bench.output("std::json_dynamic", [{"a": 1, "b": 3}, 7, {"b": 4}], {"operation": "merge"}) == {"a": 1, "b": 4}
    assert bench.output("std::json_dynamic", {"a": 1}, {"operation": "merge"}) == {"a": 1}


def test_json_dynamic_merges_nothing_else(bench: Bench) -> None:
    error = bench.error("std::json_dynamic", "text", {"operation": "merge"})
    assert (error.type, error.retryable) == ("invalid_input", False)


def test_json_dynamic_names_the_required_fields_that_are_missing(bench: Bench) -> None:
    error = bench.error("std::json_dynamic", {"a": 1}, {"operation": "passthrough", "required_fields": ["a", "b.c"]})
    assert (error.type, error.retryable, error.details) == ("missing_field", False, {"fields": ["b.c"]})
    assert "b.c" in error.message


def test_json_dynamic_passes_through(bench: Bench) -> None:
    assert bench.output("std::json_dynamic", PEOPLE, {"required_fields": ["none"]}) == PEOPLE


# --- std::set, and selectors in any config


def test_set_replaces_the_value(bench: Bench) -> None:
    assert bench.output("std::set", {"old": 1}, {"values": {"new": [1, None]}}) == {"new": [1, None]}


def test_selectors_in_a_config_read_other_nodes_the_config_and_the_run(bench: Bench) -> None:
    values = {
        "exact": "${order.items[0]}",
        "text": "${pipeline.config.greeting} ${order.id}",
        "run": "${trace_id}",
        "none": "${order.nope}",
    }
    expected = {"exact": {"n": 1}, "text": "hi o1", "run": "run-1", "none": None}
    assert bench.output("std::set", None, {"values": values}, {"order": {"id": "o1", "items": [{"n": 1}]}}) == expected


def test_a_path_may_come_from_a_selector(bench: Bench) -> None:
    config = {"mappings": [{"from": "${order.field}", "to": "x"}]}
    assert bench.output("std::map", {"a": 1}, config, {"order": {"field": "a"}}) == {"x": 1}


def test_a_selector_that_yields_no_path_is_an_error_of_that_name(bench: Bench) -> None:
    error = bench.error("std::map", {"a": 1}, {"mappings": [{"from": "${order.field}", "to": "x"}]}, {"order": {}})
    assert (error.type, error.retryable) == ("invalid_path", False)


def test_a_node_never_changes_the_config_of_the_next_run(bench: Bench) -> None:
    shared = {"values": {"list": [1]}}
    assert bench.output("std::set", None, shared) == bench.output("std::set", None, shared) == {"list": [1]}

"""Whatever a definition holds, loading ends with a flow or with problems that have a place: never with an exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jetfleet.schemas.flow.node_types import NODE_TYPES
from jetfleet.schemas.flow.trigger_types import TRIGGER_TYPES
from jetfleet.schemas.source.document import read
from jetfleet.schemas.source.loader import parse_flow

from .conftest import ORDERS

WHOLE = read(ORDERS.encode()).value
WORDS = [
    "",
    "a",
    "api",
    "charge",
    "charge.error",
    "payment",
    "big.true",
    "done.in_1",
    "${a",
    "${validate.x}",
    "${iteration}",
    "std::loop",
    "std::split",
    "items[0]",
    "0",
]
SCALARS = st.none() | st.booleans() | st.integers(-2, 70_000) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, "type", "from"]), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a nested value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = deepcopy(value)
    here = copy
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = new
    return copy


def ends_well(definition: Any) -> None:
    loaded = parse_flow(
        json.dumps(definition, ensure_ascii=False).replace("NaN", ".nan").replace("Infinity", ".inf").encode("utf-8", "replace")
    )
    assert (loaded.flow is None) == bool(loaded.errors)
    assert (loaded.plan is None) == bool(loaded.errors)
    assert all(problem.line > 0 and problem.column > 0 and problem.message and problem.code for problem in loaded.problems)


@given(path=st.sampled_from(list(places(WHOLE))), new=VALUES)
def test_any_change_to_a_flow_ends_well(path: tuple[Any, ...], new: Any) -> None:
    ends_well(changed(WHOLE, path, new))


@given(type=st.sampled_from(list(NODE_TYPES)), data=st.data())
def test_any_config_ends_well(type: str, data: st.DataObject) -> None:
    entry = NODE_TYPES[type].config
    assert entry is not None
    keys = st.sampled_from([field.alias or name for name, field in entry.model_fields.items()])
    config = data.draw(st.dictionaries(keys, VALUES, max_size=4) | VALUES)
    ends_well({"name": "f", "nodes": {"a": {"type": type, "config": config}}})


@given(type=st.sampled_from(list(TRIGGER_TYPES)), data=st.data())
def test_any_params_end_well(type: str, data: st.DataObject) -> None:
    entry = TRIGGER_TYPES[type].params
    params = data.draw(st.dictionaries(st.sampled_from(list(entry.model_fields)), VALUES, max_size=4) | VALUES)
    ends_well({"name": "f", "triggers": {"t": {"type": type, "params": params}}})

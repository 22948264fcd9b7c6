"""The declared parameters of a manual trigger, against what calls bring."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas.errors import EventRejected, InvalidFlow
from jetfleet.schemas.plan.parameters import with_defaults
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.source.loader import parse_flow

DECLARED = """[{name: id, type: integer, required: true}, {name: rush, type: boolean, default: false}, {name: note},
               {name: lines, type: array}, {name: weight, type: number}, {name: more, type: object}]"""


def plan(parameters: str = DECLARED) -> Plan:
    text = f"name: f\ntriggers: [{{id: desk, type: manual, params: {{parameters: {parameters}}}}}]\nnodes: {{a: {{type: 'std::log', config: {{}}}}}}\nedges: [{{from: desk, to: a}}]\n"
    return parse_flow(text.encode()).require()[1]


def test_what_is_left_out_gets_its_default() -> None:
    assert with_defaults(plan(), "desk", {"id": 7}) == {"rush": False, "id": 7}
    assert with_defaults(plan(), "desk", {"id": 7, "rush": True, "weight": 3}) == {"rush": True, "id": 7, "weight": 3}


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (None, "'id' is missing"),
        ([1], "a map, not a list"),
        ({"id": "7"}, "'id' is a text, and a parameter of type integer"),
        ({"id": True}, "'id' is true or false, and a parameter of type integer"),
        ({"id": 7, "rush": None}, "'rush' is null"),
        ({"id": 7, "rsuh": True}, "there is no parameter 'rsuh' (did you mean 'rush'?)"),
        ({"lines": {}, "more": []}, "'id' is missing; 'lines' is a map, and a parameter of type array; 'more' is a list"),
    ],
)
def test_a_call_that_does_not_fit_is_told_all_that_is_wrong(call: Any, what: str) -> None:
    with pytest.raises(EventRejected) as refused:
        with_defaults(plan(), "desk", call)
    assert what in str(refused.value)


def test_a_trigger_that_declares_nothing_takes_anything() -> None:
    for value in (None, 7, {"x": 1}):
        assert with_defaults(plan("[]"), "desk", value) == value


@pytest.mark.parametrize("parameters", ["[{name: a, type: integer, default: x}]", "[{name: a}, {name: a}]", "[{name: a, type: date}]"])
def test_declarations_that_make_no_sense_are_refused(parameters: str) -> None:
    with pytest.raises(InvalidFlow, match=r"default of parameter `a`|two parameters are called `a`|known here: string, integer"):
        plan(parameters)

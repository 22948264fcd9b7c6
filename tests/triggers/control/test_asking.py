"""Parameters of manual triggers, from texts and from a person."""

from __future__ import annotations

from typing import Any

import click
import pytest

from jetfleet.schemas.errors import UsageError
from jetfleet.triggers.cli.asking import asked, assigned

DECLARED = [
    {"name": "id", "type": "integer", "required": True},
    {"name": "rush", "type": "boolean", "default": False},
    {"name": "note", "type": "string", "description": "for the packer"},
]


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", "7", "7"),
        ("string", "", ""),
        ("integer", "-7", -7),
        ("number", "7", 7),
        ("number", "7.5e1", 75.0),
        ("boolean", "Yes", True),
        ("boolean", "off", False),
        ("object", '{"a": 1}', {"a": 1}),
        ("array", "[1, 2]", [1, 2]),
        ("any", "[1]", [1]),
        ("any", "no json", "no json"),
    ],
)
def test_a_text_becomes_a_value_of_the_declared_type(type_: str, text: str, value: Any) -> None:
    assert assigned([f"x={text}"], [{"name": "x", "type": type_}]) == {"x": value}
    assert type(assigned([f"x={text}"], [{"name": "x", "type": type_}])["x"]) is type(value)


@pytest.mark.parametrize(
    ("type_", "text", "says"),
    [
        ("integer", "7.5", "no whole number"),
        ("number", "nan", "no number"),
        ("number", "inf", "no number"),
        ("number", "x", "no number"),
        ("boolean", "maybe", "neither true nor false"),
        ("object", "[1]", "no object in JSON"),
        ("array", "{", "no JSON"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused_with_the_reason(type_: str, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        assigned([f"x={text}"], [{"name": "x", "type": type_}])


def test_a_text_needs_a_name_once() -> None:
    assert assigned(["a=b=c"], []) == {"a": "b=c"}
    for texts in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UsageError):
            assigned(texts, [])


class Person:
    """Answers as a person at a terminal: what cannot be read is asked for again."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers, self.asked = answers, []

    def __call__(self, label: str, *, value_proc: Any, default: str | None = None, **options: Any) -> Any:
        name = label.partition(":")[0].partition(" (")[0]
        self.asked.append(name)
        while True:
            try:
                return value_proc(self.answers[name].pop(0))
            except click.BadParameter:
                continue


def test_a_person_who_says_nothing_is_asked_for_all_and_what_is_left_out_keeps_its_default() -> None:
    person = Person(id=["x", "7"], rush=[""], note=["fragile"])
    assert asked(DECLARED, {}, person) == {"id": 7, "note": "fragile"}
    assert person.asked == ["id", "rush", "note"]


def test_who_said_something_is_asked_only_for_what_is_needed() -> None:
    person = Person(id=["7"])
    assert asked(DECLARED, {"note": "x"}, person) == {"id": 7}
    assert asked(DECLARED, {"id": 1}, person) == {}
    assert person.asked == ["id"]

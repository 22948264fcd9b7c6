"""Params of `queue`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..block import Refused, Spelled, as_list
from ..definition import Identifier, Text
from .values import Capacity

_TOKEN = re.compile(r"[^\s.*>]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
SUBJECT_MAX = 200


def _pattern(text: str) -> str:
    tokens = text.split(".")
    rest = tokens[:-1] if tokens[-1] == ">" else tokens
    if len(text) > SUBJECT_MAX or not all(token == "*" or _TOKEN.fullmatch(token) for token in rest):
        raise Refused(
            "INVALID_VALUE",
            f"`{text}` is no subject",
            f"words with dots between them, at most {SUBJECT_MAX} characters; `*` stands for one word, `>` at the end for all that follow",
        )
    return text


Pattern = Annotated[Text, AfterValidator(_pattern)]


class QueueParams(Spelled):
    """Messages that programs send: to a queue with a name, or on subjects that match patterns.

    Without `name` and `subjects` the queue is called `<flow>-<trigger>`.
    """

    spellings: ClassVar[Mapping[str, str]] = {"buffer_size": "capacity", "subject": "subjects"}

    name: Identifier | None = None
    capacity: Capacity = 100
    subjects: Annotated[list[Pattern], Field(max_length=100), BeforeValidator(as_list, json_schema_input_type=str | list[str])] = []

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.subjects and self.model_fields_set & {"name", "capacity"}:
            raise Refused(
                "INVALID_VALUE",
                "`subjects` goes with neither `name` nor `capacity`: messages on subjects wait in one place for all flows",
                "leave out `name` and `capacity`, or make two triggers of it",
            )
        return self

    def queue(self, flow: str, trigger: str) -> str | None:
        """The name of the queue of this trigger; None: it listens to subjects."""
        return None if self.subjects else self.name or f"{flow}-{trigger}"


def is_queue_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that the pattern stands for."""
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(words) <= len(wanted):
            return False
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))

"""Kinds of values that the params of several trigger types have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ..block import as_list
from ..definition import Text

Capacity = Annotated[int, Field(ge=1, le=10_000_000)]
Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(as_list, json_schema_input_type=str | list[str])]

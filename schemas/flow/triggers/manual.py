"""Params of `manual`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..block import Spelled
from ..definition import Block, Text
from .values import Capacity


class Parameter(Block):
    """One input of a manual trigger, for the form that asks for it."""

    name: Text
    type: Text = "string"
    required: bool = False
    default: Any = None
    description: str | None = None


class ManualParams(Spelled):
    """Fired by hand, from the command line or a program."""

    spellings: ClassVar[Mapping[str, str]] = {"capacity": "buffer_size"}

    buffer_size: Capacity = 10
    parameters: list[Parameter] = []

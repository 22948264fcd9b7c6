"""Params of `manual`: what a call by hand may and must bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from ..block import Refused, Spelled
from ..definition import Block, Text
from .values import Capacity

ParameterType = Literal["string", "integer", "number", "boolean", "object", "array", "any"]
_CLASSES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list, tuple),
    "any": (object,),
}


def fits(value: Any, type_: str) -> bool:
    """Whether a value is of a parameter's type. A whole number is a number, and true is no number."""
    if isinstance(value, bool):
        return type_ in ("boolean", "any")
    return isinstance(value, _CLASSES.get(type_, (object,)))


class Parameter(Block):
    """One input of a manual trigger: what a call may or must bring."""

    name: Text
    type: ParameterType = "string"
    required: bool = False
    default: Any = None
    description: str | None = None

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is not None and not fits(self.default, self.type):
            raise Refused("INVALID_VALUE", f"the default of parameter `{self.name}` is not of its type {self.type}", at=("default",))
        return self


class ManualParams(Spelled):
    """Fired by hand, from the command line or a program."""

    spellings: ClassVar[Mapping[str, str]] = {"capacity": "buffer_size"}

    buffer_size: Capacity = 10
    parameters: list[Parameter] = []

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [parameter.name for parameter in self.parameters]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise Refused("DUPLICATE_ID", f"two parameters are called `{name}`", "rename one of them", ("parameters", place, "name"))
        return self

"""Strategies for random programs: what `making.py` makes, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from .making import Maker
from .programs import Program

Value = TypeVar("Value")


@st.composite
def programs(draw: st.DrawFn, depth: int = 4, order_free: bool = False) -> Program:
    """A program that ends with one task. `order_free`: without anything that depends on who comes first."""
    return Maker(_Drawn(draw), order_free).program(depth)


class _Drawn:
    """Choices that hypothesis makes, and can make smaller."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def one_of(self, values: Sequence[Value]) -> Value:
        return self._draw(st.sampled_from(values))

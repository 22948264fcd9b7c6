"""std::aggregate: reduce numbers to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ...broker.codecs.reach import items, reach
from ...schemas.selectors import parse_path
from ...schemas.values import set_path, to_number
from .base import StandardNode

Numbers: TypeAlias = Callable[[Any], Iterator[int | float]]

OPERATIONS: Mapping[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "average": lambda numbers: math.fsum(numbers) / len(numbers),
    "min": min,
    "max": max,
    "count": len,
    "product": math.prod,
}
OF_NOTHING: Mapping[str, float | None] = {"min": None, "max": None}
"""What comes out where there are no numbers: 0, but nothing is the smallest or largest of none."""


class AggregateNode(StandardNode):
    """Gives `{output_field: number}`, always a float. What is no number is passed over and not counted.

    Texts that spell a number count where a field is named, not as bare elements of an array.
    """

    name = "std::aggregate"

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        operation, numbers = config["operation"], _numbers(config["source"])
        reduce, target = OPERATIONS[operation], parse_path(config["output_field"])

        def aggregate(value: Any) -> Any:
            found = [float(number) for number in numbers(value)]
            return set_path({}, target, float(reduce(found)) if found else OF_NOTHING.get(operation, 0.0))

        return aggregate


def _numbers(source: Mapping[str, Any]) -> Numbers:
    if source["type"] == "fields":
        paths = [parse_path(field) for field in source["fields"]]
        return lambda value: _only_numbers(to_number(reach(value, path)) for path in paths)
    array = parse_path(source["array_path"])
    if source.get("value_field"):
        field = parse_path(source["value_field"])
        return lambda value: _only_numbers(to_number(reach(item, field)) for item in items(reach(value, array)))
    return lambda value: _only_numbers(None if isinstance(item, str) else to_number(item) for item in items(reach(value, array)))


def _only_numbers(candidates: Iterator[int | float | None]) -> Iterator[int | float]:
    return (number for number in candidates if number is not None and math.isfinite(number))

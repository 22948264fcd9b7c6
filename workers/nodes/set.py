"""std::set: replace the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .base import StandardNode


class SetNode(StandardNode):
    """Gives `values`, whatever came in. They usually hold selectors, resolved before the node sees them."""

    name = "std::set"
    moves = True

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        values = config["values"]
        return lambda value: values

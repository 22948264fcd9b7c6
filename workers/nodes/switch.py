"""std::switch on a worker: the engine decides switches itself, but for those whose operands lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...broker.codecs.reach import reach
from ...schemas.conditions import parse_condition
from ..outcome import UNCHANGED, Out
from .base import StandardNode


class SwitchNode(StandardNode):
    """Goes by `true` or `false`, the value unchanged. The config is what the compiler made of the node's: `condition`, and the
    value of its right side as `right` (see `schemas.plan.programs.task_template`).
    """

    name = "std::switch"

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        condition, right = parse_condition(config["condition"]), config["right"]
        return lambda value: Out("true" if condition.compare(value, right, reach=reach) else "false", UNCHANGED)

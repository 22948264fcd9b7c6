"""std::merge on a worker: the engine joins ways itself, but for a `deep_merge` of maps that lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...schemas.values import deep_merge
from .base import StandardNode


class MergeNode(StandardNode):
    """Gets the list of what has arrived, in the order of the edges, and gives the maps in it as one."""

    name = "std::merge"

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any], Any]:
        return deep_merge

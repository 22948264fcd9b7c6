"""The standard data nodes, one per file. Their configs are modelled in `schemas.flow.node_configs`."""

from __future__ import annotations

from ..spec import NodeSpec
from .aggregate import AggregateNode
from .base import StandardNode
from .concat import ConcatNode
from .http import HttpNode
from .json_dynamic import JsonDynamicNode
from .log import LogNode
from .map import MapNode
from .set import SetNode

_NODES: tuple[type[StandardNode], ...] = (AggregateNode, ConcatNode, HttpNode, JsonDynamicNode, LogNode, MapNode, SetNode)


def standard_nodes() -> list[NodeSpec]:
    """The specs of all standard nodes that workers execute."""
    return [node.spec() for node in _NODES]

"""The standard nodes that workers execute, one per file: the data nodes (configs in `schemas.flow.node_configs`), and those two that the
engine leaves to a worker when it would have to look into a value that lies elsewhere.
"""

from __future__ import annotations

from ..spec import NodeSpec
from .aggregate import AggregateNode
from .base import StandardNode
from .concat import ConcatNode
from .http import HttpNode
from .json_dynamic import JsonDynamicNode
from .kafka_publish import KafkaPublishNode
from .log import LogNode
from .map import MapNode
from .merge import MergeNode
from .set import SetNode
from .switch import SwitchNode

_NODES: tuple[type[StandardNode], ...] = (
    AggregateNode, ConcatNode, HttpNode, JsonDynamicNode, KafkaPublishNode, LogNode, MapNode, MergeNode, SetNode, SwitchNode,
)  # fmt: skip


def standard_nodes() -> list[NodeSpec]:
    """The specs of all standard nodes that workers execute."""
    return [node.spec() for node in _NODES]

"""What a standard node is: a config that is prepared once, and a function that is called for each value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...schemas.flow.node_types import NODE_TYPES
from ..spec import Mode, NodeSpec


class StandardNode(ABC):
    """Subclasses name their type and implement `prepare`; `config` has the normal form of the type's config model.

    The prepared function gets (value), or (value, context) where `wants_context` says so. It must not change the value
    that it gets, nor the config: both may be shared. `moves`: it only moves values about, see `NodeSpec`.
    """

    name: ClassVar[str]
    mode: ClassVar[Mode] = "inline"
    moves: ClassVar[bool] = False
    wants_context: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, config: Mapping[str, Any]) -> Callable[..., Any]:
        """The node's function for one config."""

    @classmethod
    def spec(cls) -> NodeSpec:
        """The node as workers register it. Those that reach outside (mode async) cannot be executed again without harm."""
        described = NODE_TYPES[cls.name]
        return NodeSpec(
            name=cls.name,
            mode=cls.mode,
            prepare=cls().prepare,
            wants_context=cls.wants_context,
            ports=described.ports,
            idempotent=cls.mode == "inline",
            moves=cls.moves,
            summary=described.summary,
        )

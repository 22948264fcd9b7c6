"""Own node types for the commands about definitions: what modules and files of nodes hold, asked of whoever can load them.

Loading nodes is the workers' business, and this package knows nothing of workers. So they offer it by the entry point group
`jetfleet.node_loaders`: each entry point names a function from the texts of `--nodes` to node types by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TypeAlias

from .errors import UsageError
from .flow.node_types import NodeType

GROUP = "jetfleet.node_loaders"
Loader: TypeAlias = Callable[[Sequence[str]], Mapping[str, NodeType]]


def own_node_types(sources: Sequence[str]) -> Mapping[str, NodeType] | None:
    """The types in these modules and files; None if there are no sources, which means: nobody knows.

    Raises UsageError if a source cannot be loaded, or nothing that could load it is installed.
    """
    if not sources:
        return None
    loaders = entry_points(group=GROUP)
    if not loaders:
        raise UsageError("--nodes needs jetfleet.workers, which is not installed here")
    found: dict[str, NodeType] = {}
    for entry_point in loaders:
        loader: Loader = entry_point.load()
        found.update(loader(sources))
    return found

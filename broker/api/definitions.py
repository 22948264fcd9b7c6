"""Definitions to deploy: a flow in any form, checked the way a server needs it.

Like `jetfleet validate --deploy`, a node that nothing leads to is an error; a flow without a trigger is fine, it is started by hand or by
another flow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ...schemas.errors import InvalidFlow, UsageError
from ...schemas.flow.definition import Flow
from ...schemas.messages import Definition
from ...schemas.node_loaders import own_node_types
from ...schemas.source.deployment import for_deployment
from ...schemas.source.loader import Loaded, load_flow, parse_flow
from ..definitions import define

FlowSource: TypeAlias = "Flow | Mapping[str, Any] | str | Path"
"""A definition, plain data, YAML text (with a line break in it), or the path of a file."""


def definition_of(source: FlowSource, nodes: Sequence[str] = ()) -> Definition:
    """The definition of a flow. `nodes`: modules and files with its own node types; without any they are not checked.

    Raises InvalidFlow, with positions where there is a text; UsageError for a file or data that cannot be read.
    """
    types = own_node_types(nodes)
    loaded = _load(source, types)
    errors = [problem for problem in for_deployment(loaded) if problem.severity == "error" and problem.code != "NO_TRIGGER"]
    if errors:
        raise InvalidFlow(errors)
    flow, _ = loaded.require()
    return define(flow, types)


def _load(source: FlowSource, types: Any) -> Loaded:
    if isinstance(source, Flow):
        source = source.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if isinstance(source, Mapping):
        return parse_flow(_as_text(source), known_types=types)
    if isinstance(source, str) and "\n" in source:
        return parse_flow(source.encode(), known_types=types)
    return load_flow(Path(source), known_types=types)


def _as_text(flow: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(flow).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"a flow given as data may hold only what JSON has: {error}") from None

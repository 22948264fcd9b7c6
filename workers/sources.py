"""Flow sources: the forms in which a flow may be handed over, and the way from each of them to a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..schemas.errors import JetfleetError, UsageError
from ..schemas.flow.definition import Flow
from ..schemas.flow.node_types import Kind
from ..schemas.plan.events import choose_trigger
from ..schemas.plan.plan import Plan
from ..schemas.source.document import read
from ..schemas.source.loader import load_flow, parse_flow
from .registry import Registry

FlowSource: TypeAlias = "Plan | Flow | Mapping[str, Any] | str | Path"
"""A compiled plan, a definition, plain data, YAML text (with a line break in it), or the path of a file."""

__all__ = ["FlowSource", "choose_trigger", "compile_source", "flows_beside"]

SUFFIXES = frozenset((".yaml", ".yml", ".json"))


def compile_source(flow: FlowSource, registry: Registry) -> Plan:
    """The plan of a flow in any form; only the registry's own node types are known.

    Raises InvalidFlow, with positions where there is a text, and UsageError for a file or data that cannot be read.
    """
    if isinstance(flow, Plan):
        return flow
    types = registry.node_types()
    if isinstance(flow, Flow):
        flow = flow.model_dump(mode="json", by_alias=True, exclude_defaults=True)  # checked like any other: configs are not models yet
    if isinstance(flow, Mapping):
        loaded = parse_flow(_as_text(flow), known_types=types)
    elif isinstance(flow, str) and "\n" in flow:
        loaded = parse_flow(flow.encode(), known_types=types)
    else:
        loaded = load_flow(Path(flow), known_types=types)
    return loaded.require()[1]


def flows_beside(file: Path, plan: Plan, registry: Registry) -> dict[str, FlowSource]:
    """The sub-flows that the plan in this file runs, and those that they run, by name. They are found in its folder.

    Raises UsageError for a name that no definition there has, or more than one; InvalidFlow for a sub-flow that is not valid. What
    no sub-flow names may be broken or there twice.
    """
    found: dict[str, FlowSource] = {}
    names = _sub_flows(plan)
    definitions = _definitions(file, plan.name) if names else {}
    while names:
        name = names.pop(0)
        if name in found:
            continue
        source = _only(name, definitions)
        child = plan if source == file else compile_source(source, registry)
        found[name] = child
        names += _sub_flows(child)
    return found


def _sub_flows(plan: Plan) -> list[str]:
    """The names of the flows that a plan's nodes start."""
    return [node.config.flow for node in plan.nodes if node.kind == Kind.SUBFLOW]


def _definitions(file: Path, name: str) -> dict[str, list[Path]]:
    """The file and the other definitions in its folder, by the names of their flows. What cannot be read has no name."""
    found = {name: [file]}
    for other in sorted(file.parent.iterdir()):
        if other != file and other.suffix in SUFFIXES and other.is_file() and (its_name := _flow_name(other)):
            found.setdefault(its_name, []).append(other)
    return found


def _only(name: str, definitions: Mapping[str, list[Path]]) -> Path:
    files = definitions.get(name, [])
    if not files:
        known = ", ".join(sorted(definitions))
        raise UsageError(f"no flow is called {name!r}, which a sub-flow names; in the same folder there are: {known}")
    if len(files) > 1:
        both = ", ".join(map(str, files))
        raise UsageError(f"several files define the flow {name!r}, which a sub-flow names: {both}; give each flow its own name")
    return files[0]


def _flow_name(file: Path) -> str | None:
    try:
        value = read(file.read_bytes(), str(file)).value
    except (JetfleetError, OSError):
        return None
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _as_text(flow: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(flow).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"a flow given as data may hold only what JSON has: {error}") from None

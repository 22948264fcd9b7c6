"""Flow sources: the forms in which a flow may be handed over, and the way from each of them to a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..schemas.errors import JetfleetError, UsageError
from ..schemas.flow.definition import Flow
from ..schemas.flow.node_types import Kind
from ..schemas.plan.compiler import compile_flow
from ..schemas.plan.plan import Plan
from ..schemas.source.document import read
from ..schemas.source.loader import load_flow, parse_flow
from .registry import Registry

FlowSource: TypeAlias = "Plan | Flow | Mapping[str, Any] | str | Path"
"""A compiled plan, a definition, plain data, YAML text (with a line break in it), or the path of a file."""

SUFFIXES = frozenset((".yaml", ".yml", ".json"))


def compile_source(flow: FlowSource, registry: Registry) -> Plan:
    """The plan of a flow in any form; only the registry's own node types are known.

    Raises InvalidFlow, with positions where there is a text, and UsageError for a file or data that cannot be read.
    """
    if isinstance(flow, Plan):
        return flow
    types = registry.node_types()
    if isinstance(flow, Flow):
        return compile_flow(flow, types)
    if isinstance(flow, Mapping):
        loaded = parse_flow(_as_text(flow), known_types=types)
    elif isinstance(flow, str) and "\n" in flow:
        loaded = parse_flow(flow.encode(), known_types=types)
    else:
        loaded = load_flow(Path(flow), known_types=types)
    return loaded.require()[1]


def choose_trigger(plan: Plan, trigger: str | None) -> str | None:
    """The trigger that a run counts as started by. Raises UsageError if that is not clear, or there is no such trigger."""
    enabled = [each.id for each in plan.triggers if each.enabled]
    if trigger is not None:
        if plan.trigger(trigger) is None:
            raise UsageError(f"flow {plan.name!r} has no trigger {trigger!r}; it has: {', '.join(t.id for t in plan.triggers) or 'none'}")
        if trigger not in enabled:
            raise UsageError(f"trigger {trigger!r} of flow {plan.name!r} is disabled: it never fires")
        return trigger
    if len(enabled) > 1:
        raise UsageError(f"flow {plan.name!r} has several triggers: {', '.join(enabled)}; name one with --trigger (trigger=… in Python)")
    return enabled[0] if enabled else None


def flows_beside(file: Path, plan: Plan) -> dict[str, FlowSource]:
    """Where the sub-flows of the plan in this file are found: the definitions in its folder, by name, and itself.

    Empty if it starts none. Definitions that cannot be read are not there.
    """
    if not any(node.kind == Kind.SUBFLOW for node in plan.nodes):
        return {}
    found: dict[str, FlowSource] = {}
    for other in sorted(file.parent.iterdir()):
        if other.suffix in SUFFIXES and other.is_file() and (name := _flow_name(other)):
            found.setdefault(name, other)
    return {**found, plan.name: plan}


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

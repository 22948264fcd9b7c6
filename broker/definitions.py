"""From a flow to the definition that is deployed, and from that to the plan, on any machine.

A definition holds the flow's canonical JSON and, if whoever deployed it knew them, the ports of its own node types: they are part of the
plan, and of its digest. So a process that has never seen the nodes compiles the same plan, or is told that it does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from pydantic import ValidationError

from ..schemas.errors import InvalidFlow, JetfleetError
from ..schemas.flow.definition import Flow
from ..schemas.flow.node_types import Kind, NodeType, node_type
from ..schemas.messages import Definition
from ..schemas.plan.compiler import compile_flow
from ..schemas.plan.plan import Plan


class BrokenDefinition(JetfleetError):
    """A definition in the registry does not compile here: it was damaged, or written by another version of jetfleet."""

    code = "BROKEN_DEFINITION"


class DigestMismatch(BrokenDefinition):
    """A definition compiles to another digest than the one it was deployed under: its runs would not mean the same here."""

    code = "DIGEST_MISMATCH"


def define(flow: Flow, known_types: Mapping[str, NodeType] | None = None) -> Definition:
    """The definition to deploy. `known_types`: the own node types, None if nobody knows them. Raises InvalidFlow."""
    plan = compile_flow(flow, known_types)
    source = json.dumps(flow.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False, separators=(",", ":"))
    used = {node.type for node in flow.nodes.values() if node_type(node.type) is None}
    types = None if known_types is None else {name: tuple(known_types[name].ports) for name in sorted(used & set(known_types))}
    return Definition(flow.name, flow.version, plan.digest, source.encode(), types, int(time.time() * 1000))


def compile_definition(definition: Definition) -> Plan:
    """The plan of a definition. Raises BrokenDefinition, DigestMismatch if it is another one than was deployed."""
    types = definition.types
    known = None if types is None else {name: NodeType(name, Kind.TASK, ports=tuple(ports)) for name, ports in types.items()}
    what = f"flow {definition.name!r} version {definition.version!r} ({definition.digest[:12]})"
    try:
        plan = compile_flow(Flow.model_validate(json.loads(definition.source)), known)
    except (InvalidFlow, ValidationError, ValueError, RecursionError) as error:
        raise BrokenDefinition(f"the definition of {what} cannot be read here, deploy it again with this version: {error}") from None
    if plan.digest != definition.digest:
        raise DigestMismatch(
            f"the definition of {what} compiles to {plan.digest[:12]} here: it was deployed by another version of jetfleet; "
            "run the same version everywhere, or deploy it again"
        )
    return plan

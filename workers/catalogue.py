"""The catalogue of node types as people and tools read it: standard ones and those of the loaded modules.

An entry says what a type does, which ports it has, who executes it and which config keys it takes. It is made from what the
compiler and the workers themselves use (the config models, the registry), so it cannot say anything else than they do.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..schemas.errors import UsageError
from ..schemas.flow.definition import Block
from ..schemas.flow.node_types import ERROR, NODE_TYPES, TYPE_ALIASES, Kind, NodeType
from .registry import Registry


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key of a node's config. `default` is JSON text, empty when the key is required or has no default to name."""

    name: str
    type: str
    required: bool
    default: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """`executed` is `engine` for the structural nodes, else the mode in which a worker calls the node's code."""

    type: str
    category: str
    summary: str
    description: str
    ports: tuple[str, ...]
    port_aliases: dict[str, str]
    executed: str
    config: tuple[ConfigKey, ...] = ()
    timeout_ms: int | None = None
    idempotent: bool = False


def catalogue(registry: Registry) -> tuple[Entry, ...]:
    """The standard types in the order of their catalogue, then the own ones by name."""
    types = [*NODE_TYPES.values(), *registry.node_types().values()]
    return tuple(_entry(one, registry) for one in types)


def describe(name: str, registry: Registry) -> Entry:
    """The entry of one type. Raises UsageError with the nearest name if there is none."""
    name = TYPE_ALIASES.get(name, name)
    entries = {entry.type: entry for entry in catalogue(registry)}
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "`jetfleet nodes` lists them"
        raise UsageError(f"no node type is called {name}; {hint} (own types: name their module with --nodes)")
    return entries[name]


def _entry(one: NodeType, registry: Registry) -> Entry:
    spec = registry.get(one.name)
    return Entry(
        type=one.name,
        category=one.category,
        summary=one.summary,
        description=_paragraph(one.config, one.name),
        ports=(*one.ports, ERROR),
        port_aliases=dict(one.port_aliases),
        executed="engine" if one.kind is not Kind.TASK or spec is None else spec.mode,
        config=() if one.config is None else tuple(_keys(one.config)),
        timeout_ms=spec.timeout_ms if spec else None,
        idempotent=spec.idempotent if spec else False,
    )


def _paragraph(config: type[Block] | None, name: str) -> str:
    """The config model's docstring without the type's name in front."""
    text = " ".join((config.__doc__ or "").split()) if config else ""
    return text.removeprefix(f"{name}. ")


def _keys(config: type[Block]) -> Iterator[ConfigKey]:
    schema = config.model_json_schema(by_alias=True)
    for name, field in config.model_fields.items():
        key = field.alias or name
        shape = schema["properties"].get(key, {})
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        yield ConfigKey(key, type_text(shape, schema), field.is_required(), _default_text(default), field.description or "")


def _default_text(default: Any) -> str:
    return "" if default in (None, [], {}) or isinstance(default, Block) else json.dumps(default, ensure_ascii=False)


def type_text(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON Schema type in a few words: `integer`, `list of text`, `all | any | count`, `{type, value}`."""
    if "$ref" in shape:
        return type_text(schema["$defs"][shape["$ref"].rpartition("/")[2]], schema)
    if "enum" in shape or "const" in shape:
        return " | ".join(map(str, shape.get("enum", [shape.get("const")])))
    if options := shape.get("anyOf") or shape.get("oneOf"):
        texts = [type_text(option, schema) for option in options if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(texts))
    kind = shape.get("type")
    if kind == "array":
        return f"list of {type_text(shape.get('items', {}), schema)}"
    if kind == "object":
        return f"{{{', '.join(shape['properties'])}}}" if "properties" in shape else "map"
    return {"string": "text", "boolean": "true or false", None: "anything"}.get(kind, str(kind))

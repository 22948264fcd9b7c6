"""The checks between the shape of a definition and its graph: types, configs, params, ids, counts.

Each works on the raw data and skips what has the wrong shape (the models have reported that), so that one mistake at the top
does not hide those below it. Each returns problems at paths of the list form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..flow import node_types, trigger_types
from ..flow.definition import SizeLimits
from ..flow.node_types import STANDARD, NodeType
from ..flow.problems import Path, Problem
from .findings import problems_of

RESERVED = frozenset(("pipeline", "trigger", "run", "trace_id", "iteration"))
"""First segments of selectors that have a meaning of their own."""


def check_parts(raw: Mapping[str, Any], known_types: Mapping[str, NodeType] | None) -> list[Problem]:
    """All problems of these checks, in no particular order."""
    return [
        *_triggers(raw),
        *_nodes(raw, known_types),
        *_ids(raw),
        *_counts(raw),
        *_empty(raw),
    ]


def node_config(type: str, config: Any, known_types: Mapping[str, NodeType] | None, path: Path) -> list[Problem]:
    """The problems of one node's config; none if its type is unknown or does not describe configs."""
    entry = (known_types or {}).get(type) or node_types.node_type(type)
    if entry is None or entry.config is None:
        return []
    try:
        node_types.parse_config(entry, config)
    except ValidationError as error:
        return problems_of(error, entry.config, config, path)
    return []


def _triggers(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for number, trigger in _entries(raw, "triggers"):
        name = trigger.get("type")
        if not isinstance(name, str) or not name:
            continue
        entry = trigger_types.trigger_type(name)
        if entry is None:
            near = trigger_types.suggest(name)
            hint = f"did you mean `{near}`?" if near else f"known types: {', '.join(trigger_types.TRIGGER_TYPES)}"
            yield Problem("INVALID_TRIGGER_TYPE", f"there is no trigger type `{name}`", ("triggers", number, "type"), hint)
            continue
        try:
            trigger_types.parse_params(entry, trigger.get("params"))
        except ValidationError as error:
            yield from problems_of(error, entry.params, trigger.get("params"), ("triggers", number, "params"))


def _nodes(raw: Mapping[str, Any], known_types: Mapping[str, NodeType] | None) -> Iterator[Problem]:
    for id, node in _entries(raw, "nodes"):
        name = node.get("type")
        if not isinstance(name, str) or not name:
            continue
        unknown = _unknown_type(name, ("nodes", id, "type"), known_types)
        if unknown is not None:
            yield unknown
        else:
            yield from node_config(name, node.get("config"), known_types, ("nodes", id, "config"))


def _unknown_type(name: str, path: Path, known_types: Mapping[str, NodeType] | None) -> Problem | None:
    if node_types.node_type(name) is not None or name in (known_types or {}):
        return None
    near = node_types.suggest(name, frozenset(known_types or ()))
    hint = f"did you mean `{near}`?" if near else ""
    if name.startswith(STANDARD):
        return Problem(
            "INVALID_NODE_TYPE", f"there is no standard node type `{name}`", path, hint or f"known: {', '.join(node_types.NODE_TYPES)}"
        )
    if known_types is not None:
        hint = hint or "register it with @node and name its module with --nodes, or correct the name"
        return Problem("INVALID_NODE_TYPE", f"no node type `{name}` is registered", path, hint)
    message = f"the node type `{name}` is not checked: no worker is known to serve it"
    return Problem("UNKNOWN_NODE_TYPE", message, path, hint or "name the module that registers it with --nodes", "warning")


def _ids(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Triggers, nodes and scopes share one space of names, because edges and selectors name them alike."""
    seen: dict[str, str] = {}
    for noun, id, path in _names(raw):
        if id in RESERVED:
            hint = f"rename it: `${{{id}…}}` has a meaning of its own"
            yield Problem("RESERVED_ID", f"no {noun} can be called `{id}`", path, hint)
        elif id in seen:
            hint = "triggers, nodes and scopes share one space of names: rename one of the two"
            yield Problem("DUPLICATE_ID", f"the {noun} `{id}` has an id that a {seen[id]} has already", path, hint)
        seen.setdefault(id, noun)


def _names(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Path]]:
    for number, trigger in _entries(raw, "triggers"):
        if isinstance(trigger.get("id"), str) and trigger["id"]:
            yield "trigger", trigger["id"], ("triggers", number, "id")
    for block, noun in (("nodes", "node"), ("scopes", "scope")):
        if isinstance(entries := raw.get(block), dict):
            for id in entries:
                yield noun, id, (block, id)


def _counts(raw: Mapping[str, Any]) -> Iterator[Problem]:
    settings = raw.get("settings")
    written = settings.get("limits") if isinstance(settings, dict) else None
    try:
        limits = SizeLimits.model_validate(written or {})
    except ValidationError:
        limits = SizeLimits()
    for block, limit in (("nodes", limits.nodes), ("edges", limits.edges), ("triggers", limits.triggers)):
        entries = raw.get(block)
        if isinstance(entries, (dict, list)) and len(entries) > limit:
            message = f"the flow has {len(entries):,} {block}; at most {limit:,} are allowed"
            yield Problem("LIMIT_EXCEEDED", message, (block,), f"raise `settings.limits.{block}`, or move a part into a sub-flow")


def _empty(raw: Mapping[str, Any]) -> Iterator[Problem]:
    if raw.get("nodes", {}) == {}:
        yield Problem("EMPTY_FLOW", "the flow has no nodes: nothing happens in it", ("nodes",), "add a node under `nodes`", "warning")


def _entries(raw: Mapping[str, Any], block: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The well-shaped entries of a block, by index or id."""
    entries = raw.get(block)
    pairs = entries.items() if isinstance(entries, dict) else enumerate(entries) if isinstance(entries, list) else ()
    yield from ((key, entry) for key, entry in pairs if isinstance(entry, dict))

"""Drawings of a plan: `draw(plan, format)` gives text for people or for tools that lay out graphs.

    ascii     an outline with ports, conditions, loops and scopes, for a terminal
    dot       Graphviz
    mermaid   a flowchart for Markdown
    json      the same picture as data

Drawing is a pure function: equal plans give equal texts. Nothing is left out but what does not change what runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict

from ..plan import Plan
from .diagrams import dot, mermaid
from .outline import outline
from .picture import paint

__all__ = ["FORMATS", "draw"]


def draw(plan: Plan, format: str = "ascii") -> str:
    """The plan in one of FORMATS, without a newline at the end. Raises KeyError for another format."""
    return FORMATS[format](plan)


def _json(plan: Plan) -> str:
    picture = asdict(paint(plan))
    value = {
        "flow": plan.name,
        "version": plan.version,
        "digest": plan.digest,
        "nodes": picture["figures"],
        "edges": picture["arrows"],
        "boxes": picture["boxes"],
    }
    return json.dumps(value, ensure_ascii=False, indent=2)


FORMATS: Mapping[str, Callable[[Plan], str]] = {
    "ascii": outline,
    "dot": lambda plan: dot(paint(plan)),
    "mermaid": lambda plan: mermaid(paint(plan)),
    "json": _json,
}

"""The key tables of the documents: read from a page, and worked out from the models that validate a definition.

A table stands below a line `<!-- keys: Name -->` and begins with the columns key, type and default; what follows is prose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jetfleet.schemas.limits import COUNT_MAX, DURATION_MS_MAX

Row = tuple[str, str, str]
DOCS = Path(__file__).parents[2] / "docs"
NOTHING = "–"


def tables(page: str) -> dict[str, list[Row]]:
    """The key tables of a page by name."""
    found: dict[str, list[Row]] = {}
    rows: list[Row] | None = None
    for line in (DOCS / page).read_text().splitlines():
        if line.startswith("<!-- keys: "):
            rows = found.setdefault(line.removeprefix("<!-- keys: ").removesuffix(" -->"), [])
        elif rows is not None and line.startswith("| `"):
            key, kind, default = (cell.strip().replace("\\|", "|") for cell in line.replace("\\|", "¦").split("|")[1:4])
            rows.append((key.strip("`"), kind.replace("¦", "|"), default.strip("`").replace("¦", "|")))
        elif rows is not None and not line.startswith("|"):
            rows = None
    return found


def keys(model: type[BaseModel]) -> Iterator[Row]:
    """The rows that a model's table must have."""
    schema = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        key = field.alias or name
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        yield key, _kind(schema["properties"][key], schema), default


def _default(value: Any) -> str:
    return NOTHING if value in (None, [], {}) or isinstance(value, BaseModel) else json.dumps(value)


def _kind(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """`whole number ≥ 1`, `list of text`, `all | any`, or the name of a block."""
    if "$ref" in shape:
        return shape["$ref"].rpartition("/")[2]
    if words := shape.get("enum") or ([shape["const"]] if "const" in shape else []):
        return " | ".join(words)
    if options := shape.get("anyOf") or shape.get("oneOf"):
        kinds = [_kind(option, schema) for option in options if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    kind = shape.get("type")
    if kind == "array":
        return f"list of {_kind(shape['items'], schema)}"
    if kind == "object":
        values = shape.get("additionalProperties") or next(iter(shape.get("patternProperties", {}).values()), None)
        return f"map of {_kind(values, schema)}" if isinstance(values, dict) and values else "map"
    names = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number", None: "anything"}
    return names[kind] + _bounds(shape)


UNWRITTEN = (DURATION_MS_MAX, DURATION_MS_MAX // 1_000, COUNT_MAX)
"""Upper bounds that the page tells once, for all of them."""


def _bounds(shape: dict[str, Any]) -> str:
    low, high = shape.get("minimum"), shape.get("maximum")
    if low is not None and high is not None and high not in UNWRITTEN:
        return f" {low:,}–{high:,}"
    return f" ≥ {low:,}" if low is not None else ""

"""The JSON Schema of a flow, for editors: completion, hover texts and red lines while typing.

Generated from the same models that validate, so it never knows another language than they do. It may let pass what
`validate` refuses (references, cycles, expressions); it never refuses what `validate` accepts. The stored copy is
`schemas/flow.schema.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import models_json_schema

from ..flow.block import Spelled
from ..flow.definition import Block, Flow
from ..flow.node_types import NODE_TYPES, STANDARD, TYPE_ALIASES
from ..flow.trigger_types import PREFIX, TRIGGER_TYPES

STORED = Path(__file__).parent.parent / "flow.schema.json"

Schema = dict[str, Any]


def flow_schema() -> Schema:
    """The schema, draft 2020-12."""
    models: list[type[Block]] = [Flow]
    models += [entry.config for entry in NODE_TYPES.values() if entry.config is not None]
    models += [entry.params for entry in TRIGGER_TYPES.values()]
    _, schema = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions: Schema = _without_titles(schema["$defs"])
    for model in _spelled(Spelled):
        if model.__name__ in definitions:
            _add_spellings(definitions[model.__name__], model.spellings)
    _add_node_types(definitions["Node"])
    _add_trigger_types(definitions["Trigger"])
    flow = definitions.pop("Flow")
    flow["properties"]["triggers"] = _both_forms(definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "jetfleet flow", **flow, "$defs": definitions}


def schema_text() -> str:
    """The schema as it is stored."""
    return json.dumps(flow_schema(), indent=2, ensure_ascii=False) + "\n"


def _add_node_types(node: Schema) -> None:
    names = [*NODE_TYPES, *TYPE_ALIASES]
    node["properties"]["type"] = {"anyOf": [{"enum": names}, {"type": "string", "pattern": f"^(?!{STANDARD})."}]}
    node["allOf"] = [
        _when_type([name, *_aliases(name)], "config", entry.config, not _may_be_absent(entry.config))
        for name, entry in NODE_TYPES.items()
        if entry.config is not None
    ]


def _add_trigger_types(trigger: Schema) -> None:
    trigger["properties"]["type"] = {"enum": [*TRIGGER_TYPES, *(PREFIX + name for name in TRIGGER_TYPES)]}
    trigger["allOf"] = [
        _when_type([name, PREFIX + name], "params", entry.params, not _may_be_absent(entry.params)) for name, entry in TRIGGER_TYPES.items()
    ]


def _aliases(name: str) -> list[str]:
    return [alias for alias, meant in TYPE_ALIASES.items() if meant == name]


def _may_be_absent(model: type[Block]) -> bool:
    """Whether every field has a default, and the model's own rules agree."""
    try:
        model.model_validate({})
    except ValidationError:
        return False
    return True


def _when_type(names: Sequence[str], key: str, model: type[Block], needed: bool) -> Schema:
    block: Schema = {"$ref": f"#/$defs/{model.__name__}"}
    then: Schema = {"properties": {key: block if needed else {"anyOf": [block, {"type": "null"}]}}}
    if needed:
        then["required"] = [key]
    return {"if": {"properties": {"type": {"enum": list(names)}}, "required": ["type"]}, "then": then}


def _both_forms(definitions: Schema) -> Schema:
    """Triggers as a list with ids, or as a mapping by id."""
    trigger = definitions["Trigger"]
    by_id = {**trigger, "required": [key for key in trigger["required"] if key != "id"]}
    definitions["TriggerById"] = by_id
    return {
        "anyOf": [
            {"type": "array", "items": {"$ref": "#/$defs/Trigger"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/TriggerById"}},
        ]
    }


def _spelled(model: type[Spelled]) -> Iterator[type[Spelled]]:
    """All blocks whose keys have other spellings, also those inside configs and params."""
    for each in model.__subclasses__():
        yield each
        yield from _spelled(each)


def _add_spellings(schema: Schema, spellings: Mapping[str, str]) -> None:
    for spelling, name in spellings.items():
        schema["properties"][spelling] = schema["properties"][name]
        if name in schema.get("required", []):
            schema["required"].remove(name)
            schema.setdefault("allOf", []).append({"anyOf": [{"required": [name]}, {"required": [spelling]}]})


def _without_titles(schema: Any) -> Any:
    """pydantic repeats every key as a title; an editor would show both. A *property* called title stays."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_titles(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}

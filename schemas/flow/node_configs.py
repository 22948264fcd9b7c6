"""The configs of the data nodes: those whose work is done by a worker (kind TASK).

One model per node type, in its one normal form. All their texts may hold selectors; a worker gets them resolved.
The configs of the structural nodes, which the engine reads itself, are in `control_configs`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from .block import FieldPath, Refused, as_list, is_template, synonyms
from .definition import Block, Milliseconds, Text
from .kafka import Brokers, KafkaSecurity


class FieldMapping(Block):
    """Copies the value at `from` to `to`; a missing one is left out unless there is a `default` (null means none)."""

    from_: Annotated[FieldPath, Field(alias="from")]
    to: FieldPath
    default: Any = None


class MapConfig(Block):
    """std::map. Later mappings override earlier ones; `passthrough` keeps what was there under its old name too."""

    mappings: list[FieldMapping] = []
    passthrough: bool = False

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.mappings and not self.passthrough:
            raise Refused(
                "MISSING_FIELD",
                "`mappings` is missing: without it the output would always be empty",
                "add `mappings: [{from: a, to: b}]`",
                ("mappings",),
            )
        return self


class Literally(Block):
    """A piece of text that stands in the definition."""

    type: Literal["literal"]
    value: Any


class FromField(Block):
    """A piece of text that is read from the input; left out when it is missing or null."""

    type: Literal["field"]
    path: FieldPath


def _part(raw: Any) -> Any:
    if isinstance(raw, str):
        return {"type": "field", "path": raw} if raw.startswith("$.") else {"type": "literal", "value": raw}
    return raw


Part = Annotated[
    Literally | FromField, Field(discriminator="type"), BeforeValidator(_part, json_schema_input_type=str | Literally | FromField)
]


class ConcatConfig(Block):
    """std::concat. `parts` are joined by `separator` into `{output_field: text}`; a bare text `$.a.b` is a field."""

    parts: list[Part]
    separator: str = ""
    output_field: Annotated[FieldPath, Field(min_length=1)]


class ArraySource(Block):
    """The numbers of an array: its elements, or one field of each."""

    type: Literal["array"] = "array"
    array_path: FieldPath
    value_field: FieldPath | None = None


class FieldsSource(Block):
    """The numbers in the named fields."""

    type: Literal["fields"] = "fields"
    fields: Annotated[list[FieldPath], Field(min_length=1)]


Operation = Literal["sum", "average", "min", "max", "count", "product"]
_OPERATIONS = {"avg": "average", "mean": "average"}
_SOURCE_KEYS = ("array_path", "value_field", "fields")


def _loose_source(schema: dict[str, Any]) -> None:
    """Tells the editor about the keys that `_gather_source` takes in."""
    schema["required"].remove("source")
    schema["properties"] |= {"array_path": {"type": "string"}, "value_field": {"type": "string"}}
    schema["properties"]["fields"] = {"type": "array", "items": {"type": "string"}}
    schema["anyOf"] = [{"required": ["source"]}, {"required": ["array_path"]}, {"required": ["fields"]}]


class AggregateConfig(Block):
    """std::aggregate. Also accepts the source's keys without the `source:` around them, and a source without `type`."""

    model_config = ConfigDict(json_schema_extra=_loose_source)

    operation: Annotated[Operation, BeforeValidator(synonyms(_OPERATIONS), json_schema_input_type=Operation | Literal["avg", "mean"])]
    source: Annotated[ArraySource | FieldsSource, Field(discriminator="type")]
    output_field: Annotated[FieldPath, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _gather_source(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        loose = {key: raw[key] for key in _SOURCE_KEYS if key in raw}
        source = raw.get("source", loose or None)
        if "source" in raw and loose:
            first = next(iter(loose))
            raise Refused("INVALID_VALUE", f"`{first}` stands beside `source`", f"move `{first}` into `source`", (first,))
        if isinstance(source, dict) and "type" not in source:
            source = {"type": "fields" if "fields" in source else "array", **source}
        rest = {key: value for key, value in raw.items() if key not in loose}
        return rest if source is None else {**rest, "source": source}


class JsonDynamicConfig(Block):
    """std::json_dynamic. Which of the other keys count depends on `operation`."""

    operation: Literal["passthrough", "extract", "merge", "set", "delete", "flatten"] = "passthrough"
    fields: list[FieldPath] = []
    path: FieldPath | None = None
    value: Any = None
    separator: str = "_"
    required_fields: list[FieldPath] = []

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.operation == "extract" and not self.fields:
            raise Refused(
                "MISSING_FIELD", "`fields` is missing: `extract` copies the fields it names", "add `fields: [a, b.c]`", ("fields",)
            )
        if self.operation in ("set", "delete") and not self.path:
            raise Refused("MISSING_FIELD", f"`path` is missing: `{self.operation}` works at a path", "add `path: a.b`", ("path",))
        return self


Level = Literal["trace", "debug", "info", "warn", "error"]


class LogConfig(Block):
    """std::log. Without a `message` the input itself is logged. The input passes through unchanged."""

    message: str | None = None
    level: Annotated[Level, BeforeValidator(synonyms({"warning": "warn"}), json_schema_input_type=Level | Literal["warning"])] = "info"


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class HttpConfig(Block):
    """std::http. A status other than 2xx is an error unless `expect` lists it; `timeout_ms` bounds the one request."""

    method: Annotated[Method, BeforeValidator(lambda raw: raw.upper() if isinstance(raw, str) else raw, json_schema_input_type=str)] = "GET"
    url: Text
    headers: dict[str, str] = {}
    query: dict[str, Any] = {}
    body: Any = None
    timeout_ms: Milliseconds | None = None
    expect: Annotated[list[Annotated[int, Field(ge=100, le=599)]], BeforeValidator(as_list, json_schema_input_type=int | list[int])] = []

    @model_validator(mode="after")
    def _speaks_http(self) -> Self:
        if not is_template(self.url) and not self.url.startswith(("http://", "https://")):
            raise Refused("INVALID_VALUE", f"`{self.url}` is not an http address", "write it in full: `https://host/path`", ("url",))
        return self


class KafkaPublishConfig(Block):
    """std::kafka_publish. Without `value` the node's input is written; `tombstone` writes null, which deletes the key."""

    brokers: Brokers
    topic: Text
    value: Any = None
    tombstone: bool = False
    key: Any = None
    headers: dict[str, Any] = {}
    partition: Annotated[int, Field(ge=0)] | None = None
    compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = None
    timeout_ms: Milliseconds | None = None
    security: KafkaSecurity = KafkaSecurity()

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if self.tombstone and self.value is not None:
            raise Refused("INVALID_VALUE", "`tombstone` and `value` exclude each other", "keep one of them", ("tombstone",))
        if self.tombstone and self.key is None:
            raise Refused("MISSING_FIELD", "`key` is missing: a tombstone deletes a key", "add `key: ${order.id}`", ("key",))
        return self


class SetConfig(Block):
    """std::set. The output is `values`, whatever the input was."""

    values: Any

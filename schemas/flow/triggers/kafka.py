"""Params of `kafka`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from ..block import Refused, Spelled, as_list
from ..definition import Milliseconds, Text
from ..kafka import Brokers, KafkaSecurity

Format = Literal["auto", "json", "msgpack", "text", "raw"]
Bytes = Annotated[int, Field(ge=1, le=1 << 30)]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise Refused("INVALID_VALUE", f"`{text}` is no regular expression: {error}", "such as `orders\\..*`") from None
    return text


def _function(text: str) -> str:
    module, colon, name = text.rpartition(":")
    if not (module and colon and name.isidentifier()):
        raise Refused("INVALID_VALUE", f"`{text}` does not name a function", "write `shop.avro:decode` or `shop/avro.py:decode`")
    return text


class KafkaParams(Spelled):
    """Consumes topics as a member of a consumer group. Either `topics` or a `pattern` says which.

    An offset is committed once the record's event is on disk, whatever `enable_auto_commit` says: it is accepted, and makes no difference.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [key]} for key in ("topics", "topic", "pattern")]})
    spellings: ClassVar[Mapping[str, str]] = {"topic": "topics"}

    brokers: Brokers
    group_id: Text
    topics: Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=str | list[str])] = []
    pattern: Annotated[Text, AfterValidator(_pattern)] | None = None
    auto_offset_reset: Literal["earliest", "latest", "none"] = "earliest"
    session_timeout_ms: Annotated[int, Field(ge=1)] = 6_000
    enable_auto_commit: bool = True
    commit_interval_ms: Milliseconds = 500
    format: Format = "auto"
    decoder: Annotated[Text, AfterValidator(_function)] | None = None
    key_format: Format = "text"
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 500
    fetch_max_bytes: Bytes = 52_428_800
    max_partition_fetch_bytes: Bytes = 1_048_576
    fetch_max_wait_ms: Milliseconds = 500
    metadata_max_age_ms: Milliseconds = 30_000
    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_committed"
    client_id: Text = "jetfleet"
    security: KafkaSecurity = KafkaSecurity()

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if "topics" in self.model_fields_set and not self.topics:
            raise Refused("INVALID_VALUE", "`topics` is empty", "name at least one topic", ("topics",))
        if self.topics and self.pattern:
            raise Refused("INVALID_VALUE", "`topics` and `pattern` exclude each other", "keep one of them", ("pattern",))
        if not self.topics and self.pattern is None:
            raise Refused("MISSING_FIELD", "`topics` is missing", "add `topics: [orders]`, or a `pattern`", ("topics",))
        return self

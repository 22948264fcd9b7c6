"""Params of `kafka`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from ..block import Spelled
from ..definition import Text
from .values import Texts


def _brokers(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class KafkaParams(Spelled):
    """Consumes topics as a member of a consumer group."""

    spellings: ClassVar[Mapping[str, str]] = {"topic": "topics"}

    brokers: Annotated[list[Text], Field(min_length=1), BeforeValidator(_brokers, json_schema_input_type=str | list[str])]
    group_id: Text
    topics: Texts
    auto_offset_reset: Literal["earliest", "latest", "none"] = "earliest"
    session_timeout_ms: Annotated[int, Field(ge=1)] = 6_000
    enable_auto_commit: bool = True

"""The catalogue of trigger types and the models of their params, each in one normal form for all spellings.

Every type is also known as `trigger::<name>`. Which paths a filesystem trigger may watch, and whether a port is free, is
decided where the trigger runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from . import cron
from .block import Refused, Spelled, as_list, synonyms
from .definition import Block, Text

PREFIX = "trigger::"

Capacity = Annotated[int, Field(ge=1, le=10_000_000)]
Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(as_list, json_schema_input_type=str | list[str])]


def _route(path: str) -> str:
    if not path.startswith("/"):
        raise Refused("INVALID_VALUE", f"the path `{path}` does not begin with `/`", f"write `/{path}`")
    return path


Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH"]


def _methods(value: Any) -> Any:
    value = as_list(value)
    return [word.upper() if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


class WebhookAuth(Block):
    """Who may call: the value at `key` of the secret named `secret`."""

    type: Text
    secret: Text
    key: Text = "token"


class WebhookParams(Spelled):
    """An HTTP endpoint; the request's body is the payload."""

    spellings: ClassVar[Mapping[str, str]] = {"method": "methods"}

    host: Text = "0.0.0.0"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8080
    path: Annotated[Text, AfterValidator(_route)] = "/"
    methods: Annotated[list[Method], Field(min_length=1), BeforeValidator(_methods, json_schema_input_type=str | list[str])] = ["POST"]
    auth: WebhookAuth | None = None


def _schedule(text: str) -> str:
    try:
        cron.check(text)
    except ValueError as error:
        raise Refused("INVALID_CRON", str(error), "five fields, minute first (`*/5 * * * *`), or six, second first") from None
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refused("INVALID_VALUE", f"`{name}` is not a time zone", "write an IANA name, such as `Europe/Berlin` or `UTC`") from None
    return name


Overlap = Literal["forbid", "allow", "replace"]


class CronParams(Spelled):
    """Fires on a schedule, in its time zone. `catch_up` makes up for times that were missed."""

    spellings: ClassVar[Mapping[str, str]] = {"catchUp": "catch_up", "concurrencyPolicy": "concurrency_policy"}

    schedule: Annotated[Text, AfterValidator(_schedule)]
    timezone: Annotated[Text, AfterValidator(_timezone)] = "UTC"
    catch_up: bool = False
    concurrency_policy: Annotated[
        Overlap,
        BeforeValidator(synonyms({word.title(): word for word in ("forbid", "allow", "replace")}), json_schema_input_type=str),
    ] = "forbid"


Change = Literal["create", "modify", "remove", "rename"]
_CHANGES = {"created": "create", "modified": "modify", "removed": "remove", "delete": "remove", "deleted": "remove", "renamed": "rename"}


def _changes(value: Any) -> Any:
    value = as_list(value)
    return [_CHANGES.get(word, word) if isinstance(word, str) else word for word in value] if isinstance(value, list) else value


class FilesystemParams(Spelled):
    """Watches files and folders. Without `patterns` every name counts."""

    spellings: ClassVar[Mapping[str, str]] = {"path": "paths"}

    paths: Texts
    recursive: bool = False
    patterns: Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=str | list[str])] = []
    events: Annotated[list[Change], Field(min_length=1), BeforeValidator(_changes, json_schema_input_type=str | list[str])] = [
        "create",
        "modify",
        "remove",
        "rename",
    ]


class QueueParams(Spelled):
    """A named queue that programs send messages to."""

    spellings: ClassVar[Mapping[str, str]] = {"buffer_size": "capacity"}

    name: Text | None = None
    capacity: Capacity = 100


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


class Parameter(Block):
    """One input of a manual trigger, for the form that asks for it."""

    name: Text
    type: Text = "string"
    required: bool = False
    default: Any = None
    description: str | None = None


class ManualParams(Spelled):
    """Fired by hand, from the command line or a program."""

    spellings: ClassVar[Mapping[str, str]] = {"capacity": "buffer_size"}

    buffer_size: Capacity = 10
    parameters: list[Parameter] = []


class MemoryParams(Spelled):
    """Fired from the same process; for tests and embedding."""

    spellings: ClassVar[Mapping[str, str]] = {"capacity": "buffer_size"}

    buffer_size: Capacity = 1_000


@dataclass(frozen=True, slots=True)
class TriggerType:
    """One trigger type."""

    name: str
    params: type[Block]
    summary: str


TRIGGER_TYPES: Mapping[str, TriggerType] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            TriggerType("webhook", WebhookParams, "An HTTP request"),
            TriggerType("cron", CronParams, "A time on a schedule"),
            TriggerType("filesystem", FilesystemParams, "A change of a file"),
            TriggerType("queue", QueueParams, "A message in a queue"),
            TriggerType("kafka", KafkaParams, "A record of a Kafka topic"),
            TriggerType("manual", ManualParams, "A call by hand"),
            TriggerType("memory", MemoryParams, "A call from the same process"),
        )
    }
)


def trigger_type(name: str) -> TriggerType | None:
    """The trigger type of this name, short or with the prefix; None if there is none."""
    return TRIGGER_TYPES.get(name.removeprefix(PREFIX))


def suggest(name: str) -> str | None:
    """The trigger type whose name is nearest to `name`, if any is near."""
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), TRIGGER_TYPES, n=1)
    return near[0] if near else None


def parse_params(entry: TriggerType, raw: Any) -> Block:
    """The params in their normal form; None counts as empty. Raises pydantic.ValidationError."""
    return entry.params.model_validate({} if raw is None else raw)
